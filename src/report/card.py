"""The model card, written by the library's own generator from what it is told here."""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerModelCardData
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

from src.data import PairData
from src.encoder import BaseModel
from src.metrics.names import DEV, SPEARMAN, TEST
from src.report.card_sections import examples, sections
from src.training.curve import CurveRow

HUB_DATASETS = "https://huggingface.co/datasets/"
EMPTY_SECTION = re.compile(r"<!--\s*\n(#+ )(?P<title>[^\n]+)\n.*?-->", re.DOTALL)
"""How the library's template leaves a section to be written by hand."""
SIZE_LINE = "{% if dataset['size'] %}* Size:"
DATA_LINES = (
    "* License of the pairs: {{ dataset['license'] or 'not known' }}\n"
    "{% if dataset['note'] %}* Source: {{ dataset['note'] }}\n{% endif %}"
)
SHOWN = {
    "<!-- at revision {{ base_model_revision }} -->": "at {{ base_model_revision }}",
    "<!-- - **License:** Unknown -->": "- **License:** not known",
}
"""What the template hides in comments, and what is shown in their place."""
_scratch = TemporaryDirectory(prefix="model_card_")


@cache
def template() -> Path:
    """Return a copy of the library's template in which the sections it leaves empty are filled from `Card.sections`."""
    text = SentenceTransformerModelCardData.template_path.read_text(encoding="utf-8")
    text = EMPTY_SECTION.sub(r'\n\1\g<title>\n\n{{ sections["\g<title>"] }}', text)
    for hidden, shown in {**SHOWN, SIZE_LINE: DATA_LINES + SIZE_LINE}.items():
        text = text.replace(hidden, shown)
    path = Path(_scratch.name) / "model_card_template.md"
    path.write_text(text, encoding="utf-8")
    return path


@dataclass
class Card(SentenceTransformerModelCardData):
    """The library's card data with the text of the sections it has no data for."""

    sections: dict[str, str] = field(default_factory=dict)
    """Text under each heading, in Markdown."""
    template_path: Path = field(default_factory=template, init=False, repr=False)


def describe(encoder: SentenceTransformer, name: str, pairs: PairData, base: BaseModel) -> None:
    """Tell the encoder's model card what the library cannot know offline: data sets, base model, language, licence."""
    card = Card(
        language=pairs.origin.language,
        license=base.license,
        model_name=f"{name}: {base.name} fine-tuned on {pairs.origin.name}",
        train_datasets=[_dataset(pairs)],
        eval_datasets=[_dataset(pairs)],
        local_files_only=True,
        generate_widget_examples=False,
        sections=sections(encoder, pairs),
    )
    card.base_model, card.base_model_revision = base.name, base.revision
    card.datasets = [each["id"] for each in card.train_datasets if "id" in each]
    first, *others = card.usage_examples = examples(pairs)
    card.widget = [{"source_sentence": first, "sentences": others}]
    card.register_model(encoder)
    encoder.model_card_data = card


def _dataset(pairs: PairData) -> dict[str, str]:
    origin = pairs.origin
    url = origin.url or ""
    hub = {"id": url.removeprefix(HUB_DATASETS)} if url.startswith(HUB_DATASETS) else {}
    return {"name": origin.name, **hub, "license": origin.license or "", "note": origin.note or ""}


def complete(
    encoder: SentenceTransformer, curve: list[CurveRow], pairs: PairData, correlations: dict[str, float]
) -> None:
    """Put the metrics of this very encoder on the `reported` pairs, and the whole run's curve, into its model card.

    What the trainer left there are the metrics of its last evaluation, which was perhaps of other weights, and a log
    that starts at the last resume.
    """
    card = encoder.model_card_data
    card.eval_results_dict.clear()
    evaluator = _evaluator(pairs.reported, DEV if pairs.test is None else TEST)
    card.set_evaluation_metrics(evaluator, {f"{evaluator.name}_{key}": value for key, value in correlations.items()})
    card.training_logs = [
        {
            "Epoch": row.epoch,
            "Step": row.step,
            "Training Loss": row.training_loss,
            "Validation Loss": row.validation_loss,
            f"{DEV}_{SPEARMAN}": row.spearman_cosine,
        }
        for row in curve
    ]


def _evaluator(pairs: Dataset, name: str) -> EmbeddingSimilarityEvaluator:
    columns = (list(pairs[column]) for column in ("sentence1", "sentence2", "score"))
    evaluator = EmbeddingSimilarityEvaluator(*columns, main_similarity="cosine", name=name, write_csv=False)
    evaluator.primary_metric = f"{name}_{SPEARMAN}"
    return evaluator
