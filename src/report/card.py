"""Model card: the values for model_card_template.md, as card data of sentence-transformers."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer, SentenceTransformerModelCardData
from sentence_transformers.base.model_card import format_duration
from sentence_transformers.sentence_transformer.modules import Pooling

from src.data import ExampleSet
from src.encoder import BaseModel
from src.evaluation.evaluate import pair_evaluator
from src.evaluation.metrics import DEV, SPEARMAN, TEST
from src.training import CurveRow, Training
from src.utils.text import escape_markdown

TEMPLATE = Path(__file__).with_name("model_card_template.md")
HUB_DATASETS = "https://huggingface.co/datasets/"
LANGUAGES = {"ko": "Korean", "en": "English"}
EXAMPLES = [
    "지하철역까지 걸어서 오 분이면 충분했어요.",
    "역에서 도보로 5분 거리라 편리했습니다.",
    "체크인할 때 열쇠를 찾느라 한참 걸렸어요.",
]
"""Usage examples written for this project, because third-party data sets are not quoted."""

ESCAPED = (
    "model_name", "base_model", "base_model_revision", "language", "language_name", "license",
    "non_default_hyperparameters", "all_hyperparameters",
)  # fmt: skip
"""Values of the template with names and texts from outside."""
DATA_SET_TEXTS = ("name", "id", "license", "note")
"""Such values of each data set."""


@dataclass
class Card(SentenceTransformerModelCardData):
    """Card data of sentence-transformers, with the additional values of our template."""

    template_path: Path = field(default=TEMPLATE, init=False, repr=False)
    language_name: str = ""
    """English name of the language of the pairs."""
    train_pairs: int = 0
    reported_pairs: int = 0
    """Number of pairs on which the metrics were computed."""
    mean_pooling: bool = True
    """Whether the only module after the transformer is mean pooling: the library transformers alone can embed then."""
    train_seconds: float | None = None
    """Wall time of training, None before its end."""

    def get_training_duration_data(self) -> dict[str, str | None]:
        """Return both durations as text; the library counts evaluations without a DataLoader as training."""
        if self.train_seconds is None:
            return {"training_time": None, "evaluation_time": None}
        train, evaluation = map(format_duration, (self.train_seconds, self.evaluation_duration))
        return {"training_time": train, "evaluation_time": evaluation}

    def to_dict(self) -> dict[str, Any]:
        """Return the values for the template, names and texts escaped; the YAML header quotes them itself."""
        values: dict[str, Any] = super().to_dict()
        shown = {name: _escaped(values[name]) for name in ESCAPED if name in values}
        for kind in ("train_datasets", "eval_datasets"):
            shown[kind] = [
                one | {key: _escaped(one[key]) for key in DATA_SET_TEXTS if key in one} for one in values[kind]
            ]
        return values | shown


def init_model_card(encoder: SentenceTransformer, name: str, pairs: ExampleSet, base: BaseModel) -> None:
    """Give the encoder a model card with what the library cannot infer: data sets, base model, language, licence."""
    language, data = pairs.provenance.language, _dataset(pairs)
    card = Card(
        language=language,
        license=base.license,
        model_name=f"{name}: {base.name} fine-tuned on {pairs.provenance.name}",
        train_datasets=[data],
        eval_datasets=[dict(data)],
        local_files_only=True,
        generate_widget_examples=False,
        language_name=LANGUAGES.get(language, language),
        train_pairs=len(pairs.train),
        reported_pairs=len(pairs.reported),
        mean_pooling=_pools_mean_only(encoder),
    )
    card.base_model, card.base_model_revision = base.name, base.revision
    card.datasets = [data["id"]] if "id" in data else []
    first, *others = card.usage_examples = _examples(pairs)
    card.widget = [{"source_sentence": first, "sentences": others}]
    card.register_model(encoder)
    encoder.model_card_data = card


def finalize_model_card(
    encoder: SentenceTransformer, training: Training, pairs: ExampleSet, metrics: dict[str, float]
) -> None:
    """Replace the trainer's metrics with those of the saved weights on the reported pairs, and its log with the curve.

    The trainer's metrics are those of its last evaluation, possibly of other weights; its log starts at the last
    resume.
    """
    card = encoder.model_card_data
    card.train_seconds, card.evaluation_duration = training.train_seconds, training.evaluation_seconds
    card.eval_results_dict.clear()
    evaluator = pair_evaluator(pairs.reported, DEV if pairs.test is None else TEST)
    card.set_evaluation_metrics(evaluator, {f"{evaluator.name}_{key}": value for key, value in metrics.items()})
    card.training_logs = [_log_row(row) for row in training.curve]


def _log_row(row: CurveRow) -> dict[str, float]:
    """Return a row of the card's table; the library shows "-" for a missing value, as the training loss of step 0."""
    values = {
        "Epoch": row.epoch,
        "Step": row.step,
        "Training Loss": row.training_loss,
        "Validation Loss": row.validation_loss,
        f"{DEV}_{SPEARMAN}": row.metrics[SPEARMAN],
    }
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _escaped(value: Any) -> Any:
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    return escape_markdown(str(value)) if value else value


def _dataset(pairs: ExampleSet) -> dict[str, str]:
    provenance = pairs.provenance
    url = provenance.url or ""
    hub = {"id": url.removeprefix(HUB_DATASETS)} if url.startswith(HUB_DATASETS) else {}
    return {"name": provenance.name, **hub, "license": provenance.license or "", "note": provenance.note or ""}


def _examples(pairs: ExampleSet) -> list[str]:
    """Return three sentences for the usage example and the widget; of the pairs, only generated ones are quoted."""
    if pairs.provenance.name != "project_match":
        return EXAMPLES
    first, second = pairs.dev[0], pairs.dev[1]
    return [first["sentence1"], first["sentence2"], second["sentence2"]]


def _pools_mean_only(encoder: SentenceTransformer) -> bool:
    last = encoder[-1]
    return len(encoder) == 2 and isinstance(last, Pooling) and last.pooling_mode == "mean"
