"""Evaluation on a suite in the card of a model: a section that is replaced, and entries of the model index."""

import logging
from math import isfinite
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard

from src.report.blocks import to_markdown
from src.suite.report import Report, report_blocks, summary
from src.utils.errors import shorten
from src.utils.files import write_text
from src.utils.text import escape_markdown, replace_section

CARD = "README.md"
START, END = "<!-- suite: written by python -m src.evaluate -->", "<!-- end of suite -->"
NEXT = "\n## Bias, Risks and Limitations\n"
"""Heading of our model_card_template.md before which the section goes; on another card it is the last."""
TASKS = {
    "scored": "semantic-similarity",
    "labelled": "binary-classification",
    "positives": "information-retrieval",
    "triplets": "information-retrieval",
}
"""Task types of the shapes in the model index, as the library names them after its evaluators."""
PREFIX = "suite-"
"""Start of the data set types in the model index that this module writes and replaces."""

log = logging.getLogger(__name__)


def update_card(folder: Path, report: Report) -> None:
    """Write the section and the entries of the model index into the card in a model folder, if it has one.

    A card that cannot be read is left as it is, with a warning.
    """
    path = folder / CARD
    if not path.is_file():
        return
    try:
        card = ModelCard.load(path)
    except (ValueError, yaml.YAMLError) as error:
        log.warning(
            f"  note: {path}: expected a model card, found {shorten(error)}: the evaluation is not written there"
        )
        return
    card.text = replace_section(card.text, _section(report), (START, END), NEXT)
    others = [each for each in card.data.eval_results or [] if not each.dataset_type.startswith(PREFIX)]
    card.data.model_name = card.data.model_name or report.model
    card.data.eval_results = [*others, *_entries(report)]
    write_text(path, str(card))


def _section(report: Report) -> str:
    title = f"## Evaluation on {escape_markdown(report.suite)}"
    blocks = [to_markdown(block, level=3) for block in report_blocks(report)]
    return "\n\n".join(filter(None, [START, title, escape_markdown(summary(report)), *blocks, END]))


def _entries(report: Report) -> list[EvalResult]:
    """Return an entry for each metric of the model on each set, and for each task of MTEB."""
    found = [
        _entry(TASKS[one.shape], one.name, one.source, name, each.value)
        for one in report.sets
        for name, each in one.scores[report.model].items()
        if isfinite(each.value)
    ]
    return found + [
        _entry("mteb", f"mteb-{task}", f"MTEB {task}", name, value)
        for task, models in report.mteb.items()
        for name, value in models[report.model].items()
        if isfinite(value)
    ]


def _entry(task: str, name: str, source: str, metric: str, value: float) -> EvalResult:
    return EvalResult(
        task_type=task, dataset_type=f"{PREFIX}{name}", dataset_name=source, metric_type=metric, metric_value=value
    )
