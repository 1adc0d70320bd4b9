"""Model card: the values for model_card_template.md, as card data of sentence-transformers."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerModelCardData,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.base.model_card import format_duration, get_losses
from sentence_transformers.sentence_transformer.evaluation import TripletEvaluator
from sentence_transformers.sentence_transformer.model_card import SentenceTransformerModelCardCallback
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import nn
from transformers import TrainerControl, TrainerState

from src.data import ExampleSet
from src.encoder import BaseModel
from src.evaluation.library import library_evaluator
from src.evaluation.metrics import OF_SHAPE, TRIPLET, evaluator_name, leading_metric
from src.evaluation.names import headline
from src.report.words import MEANINGS, WORDS
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
    "non_default_hyperparameters", "all_hyperparameters", "prompts", "selection",
)  # fmt: skip
"""Values of the template with names and texts from outside."""
DATA_SET_TEXTS = ("name", "id", "license", "note")
"""Such values of each data set."""


@dataclass
class Card(SentenceTransformerModelCardData):
    """Card data of sentence-transformers, with the additional values of our template."""

    template_path: Path = field(default=TEMPLATE, init=False, repr=False)
    language_name: str = ""
    """English name of the language of the examples."""
    train_pairs: int = 0
    """Number of training examples of all sets."""
    reported_pairs: int = 0
    """Number of examples on which the metrics were computed."""
    unit: str = ""
    own: str = ""
    """As in `Words`, of the primary set."""
    of_queries: bool = False
    """Whether the metrics are about queries and their right answers."""
    prompts: list[str] = field(default_factory=list)
    """Prompts of the model, each after its name."""
    averaged_seeds: list[int] = field(default_factory=list)
    """Seeds of the trainings of whose weights the model has the mean; empty: those of one training."""
    merged: str = ""
    """What the weights are the mean of, in words; empty: they are those of one training, or of several seeds."""
    glossary: dict[str, str] = field(default_factory=dict)
    """Meanings of the metrics by label."""
    selection: str = ""
    """How the settings were chosen, empty if that is not known."""
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


def init_model_card(
    encoder: SentenceTransformer, name: str, examples: ExampleSet, base: BaseModel, selection: str = ""
) -> None:
    """Give the encoder a model card with what the library cannot infer: data sets, base model, language, licence.

    `selection`: how the settings were chosen.
    """
    language, sets = examples.provenance.language, list(examples.sets.values())
    data, words = [_dataset(each) for each in sets], WORDS[examples.shape.name]
    metrics = dict.fromkeys(metric for each in sets for metric in OF_SHAPE[each.shape.name])
    card = Card(
        language=language,
        license=base.license,
        model_name=f"{name}: {base.name} fine-tuned on {' and '.join(each['name'] for each in data)}",
        train_datasets=data,
        eval_datasets=[dict(each) for each in data],
        local_files_only=True,
        generate_widget_examples=False,
        language_name=LANGUAGES.get(language, language),
        train_pairs=sum(len(each.train) for each in sets),
        reported_pairs=len(examples.reported),
        unit=words.unit,
        own=words.own,
        of_queries=not leading_metric(examples.shape.name).of_similarities,
        prompts=[f'{name}: "{prompt}"' for name, prompt in encoder.prompts.items() if prompt],
        glossary={metric.label: MEANINGS[metric.name] for metric in metrics},
        selection=selection,
        mean_pooling=_pools_mean_only(encoder),
    )
    card.base_model, card.base_model_revision = base.name, base.revision
    card.datasets = [each["id"] for each in data if "id" in each]
    first, *others = card.usage_examples = _examples(examples)
    card.widget = [{"source_sentence": first, "sentences": others}]
    card.register_model(encoder)
    encoder.model_card_data = card


def describe_average(
    encoder: SentenceTransformer,
    examples: ExampleSet,
    losses: Mapping[str, nn.Module],
    seeds: list[int],
    arguments: SentenceTransformerTrainingArguments,
) -> None:
    """State in the card that the weights are the mean over these seeds, and add the values of a trainer.

    `arguments`: those of the trainings, which have a seed each.
    """
    card = encoder.model_card_data
    card.averaged_seeds = seeds
    _describe_training(encoder, examples, losses)
    defaults = type(arguments)(output_dir=arguments.output_dir).to_dict()
    callback = SentenceTransformerModelCardCallback(defaults)
    callback.on_train_begin(arguments, TrainerState(), TrainerControl(), encoder)
    for values in (card.all_hyperparameters, card.non_default_hyperparameters):
        values.pop("seed", None)


def describe_merge(
    encoder: SentenceTransformer, examples: ExampleSet, losses: Mapping[str, nn.Module], merged: str
) -> None:
    """State in the card what the weights are the mean of, and add the values that a trainer would fill in."""
    encoder.model_card_data.merged = escape_markdown(merged)
    _describe_training(encoder, examples, losses)


def _describe_training(encoder: SentenceTransformer, examples: ExampleSet, losses: Mapping[str, nn.Module]) -> None:
    card = encoder.model_card_data
    parts = zip(examples.sets.items(), card.train_datasets, card.eval_datasets, strict=True)
    for (name, each), train, dev in parts:
        card.compute_dataset_metrics(each.train, train, losses[name])
        card.compute_dataset_metrics(each.dev, dev, losses[name])
    card.set_losses(get_losses(dict(losses)))


def finalize_model_card(
    encoder: SentenceTransformer, training: Training, examples: ExampleSet, metrics: dict[str, float]
) -> None:
    """Replace the trainer's metrics with those of the saved weights on the reported split, and its log with the curve.

    The trainer's metrics are those of its last evaluation, possibly of other weights; its log starts at the last
    resume.
    """
    card = encoder.model_card_data
    card.train_seconds, card.evaluation_duration = training.train_seconds, training.evaluation_seconds
    card.eval_results_dict.clear()
    split = "dev" if examples.test is None else "test"
    own = {name: value for name, value in metrics.items() if "/" not in name}
    _set_metrics(card, examples.reported, evaluator_name(examples.shape.name, split), own)
    for other in examples.others:
        start = f"{other.name}/"
        own = {name.removeprefix(start): value for name, value in metrics.items() if name.startswith(start)}
        _set_metrics(card, other.dev, f"{other.name}-dev", own)
    card.training_logs = [_log_row(row, examples.shape.name) for row in training.curve]


def _set_metrics(card: Card, split: Dataset, name: str, metrics: dict[str, float]) -> None:
    """Set the metrics of a split, which the card shows as those of the library's evaluators with this name."""
    for evaluator, values in _by_evaluator(library_evaluator(split, name), metrics):
        card.set_evaluation_metrics(evaluator, {f"{name}_{key}": value for key, value in values.items()})


def _by_evaluator(
    evaluator: BaseEvaluator, metrics: dict[str, float]
) -> Iterator[tuple[BaseEvaluator, dict[str, float]]]:
    """Yield each evaluator in a sequence with its metrics: that of triplets with their accuracy."""
    parts = getattr(evaluator, "evaluators", [evaluator])
    for part in parts:
        of_triplets = isinstance(part, TripletEvaluator)
        chosen = {key: value for key, value in metrics.items() if _is_of_triplets(key) == of_triplets}
        yield part, chosen


def _is_of_triplets(name: str) -> bool:
    return name.partition("_dim_")[0] == TRIPLET.name


def _log_row(row: CurveRow, shape: str) -> dict[str, float]:
    """Return a row of the card's table; the library shows "-" for a missing value, as the training loss of step 0."""
    leading = leading_metric(shape).name
    values = {
        "Epoch": row.epoch,
        "Step": row.step,
        "Training Loss": row.training_loss,
        "Validation Loss": row.validation_loss,
        f"{evaluator_name(shape, 'dev')}_{leading}": row.metrics[leading],
        **{name: row.metrics[name] for name in headline(row.metrics) if "/" in name},
    }
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _escaped(value: Any) -> Any:
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    return escape_markdown(str(value)) if value else value


def _dataset(examples: ExampleSet) -> dict[str, Any]:
    provenance, words = examples.provenance, WORDS[examples.shape.name]
    url = provenance.url or ""
    hub = {"id": url.removeprefix(HUB_DATASETS)} if url.startswith(HUB_DATASETS) else {}
    own = {"license": provenance.license or "", "note": provenance.note or ""}
    return {"name": provenance.name, **hub, **own, "count": len(examples.train), **words._asdict()}


def _examples(examples: ExampleSet) -> list[str]:
    """Return three sentences for the usage example and the widget; of the data, only generated pairs are quoted."""
    if examples.provenance.name != "project_match":
        return EXAMPLES
    first, second = examples.dev[0], examples.dev[1]
    return [first["sentence1"], first["sentence2"], second["sentence2"]]


def _pools_mean_only(encoder: SentenceTransformer) -> bool:
    last = encoder[-1]
    if len(encoder) != 2 or not isinstance(last, Pooling):
        return False
    return last.pooling_mode == "mean" and (last.include_prompt or not any(encoder.prompts.values()))
