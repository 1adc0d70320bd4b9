"""Shapes of training examples: the columns of a data set, and the losses that fit it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from datasets import Dataset

from src.config.model import NEGATIVE


@dataclass(frozen=True)
class Shape:
    """A kind of training example, recognised by the columns of its data set."""

    name: str
    """Value of `data.shape`."""
    texts: tuple[str, ...]
    """Columns of texts; triplets may have `negative_1` to `negative_n` in place of `negative`."""
    label: str | None
    """Column of the gold score (double, 0 to 1) or of the label (int64, 0 or 1); None if there is neither."""
    losses: tuple[str, ...]
    """Values of `loss.name` that fit; the first is the default."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, the label last."""
        return (*self.texts, *([self.label] if self.label else []))

    @property
    def noun(self) -> str:
        """What its rows are called in messages."""
        return "pairs" if self.label else "examples"


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("scored", ("sentence1", "sentence2"), "score", ("cosine_similarity", "cosent", "angle")),
        Shape("positives", ("anchor", "positive"), None, ("mnrl",)),
        Shape("triplets", ("anchor", "positive", NEGATIVE), None, ("mnrl", "triplet")),
        Shape("labelled", ("sentence1", "sentence2"), "label", ("online_contrastive",)),
    )
}
"""All shapes by name."""
LABELS = tuple(shape.label for shape in SHAPES.values() if shape.label)
"""Columns that are not texts."""


def shape_of(examples: Dataset | pa.Table) -> Shape:
    """Return the shape of a data set, which has the columns of one of `SHAPES` and no other texts."""
    names = examples.column_names
    for name in ("scored", "labelled"):
        if SHAPES[name].label in names:
            return SHAPES[name]
    return SHAPES["triplets" if any(name.startswith(NEGATIVE) for name in names) else "positives"]


def text_columns(names: Sequence[str]) -> list[str]:
    """Return the columns of texts among the columns of a data set, in their order."""
    return [name for name in names if name not in LABELS]
