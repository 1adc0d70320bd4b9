"""Checked tables of examples, and the data sets built from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from src.data.columns import ROW, Remarks, check_text, short_repr
from src.data.conversion import from_labels, spread_lists
from src.data.examples import ExampleSet, Provenance, to_dataset
from src.data.labels import check_labels, check_scores
from src.data.layouts import Layout
from src.data.relations import check_relations, queries_among_candidates, text_ids, texts_of
from src.data.shapes import Shape, shape_of
from src.utils.errors import UserError

MIN_ROWS = {"train": 2, "dev": 3}
"""Minimum number of examples in each split; a rank correlation of two pairs is always 1 or -1."""


@dataclass(frozen=True)
class CheckedSplit:
    """Checked examples of one split."""

    table: pa.Table
    """Columns as in `Shape`: texts in NFC, a score as double in 0..1, a label as 0 or 1; `ROW`: the data row in the
    file."""
    where: str
    """File, or Hub data set and split, for messages."""
    warnings: tuple[str, ...] = ()
    layout: Layout = field(default_factory=Layout)
    """The layout of the source, with the shape and the labels that its values decided."""

    @property
    def shape(self) -> Shape:
        """The shape of the examples."""
        return shape_of(self.table)


def check_examples(raw: pa.Table, where: str, layout: Layout, notes: Sequence[str] = ()) -> CheckedSplit:
    """Return the examples of a table with the columns of the layout and numbered rows.

    `notes`: remarks of the reader, which become warnings.

    Raises `UserError` naming the first row with a text that is missing, blank or not text, a score that is not a number
    or out of range, an unknown label, or a negative equal to its positive or anchor.
    """
    remarks = Remarks(where)
    raw = raw.select([*layout.columns.values(), ROW]).rename_columns([*layout.columns, ROW])
    raw, lists = spread_lists(raw, where, layout)
    texts = {name: check_text(raw, name, remarks, layout.shown(name)) for name in texts_of(raw)}
    table = pa.table(texts | {ROW: raw[ROW]})
    conversion: list[str] = []
    if "score" in layout.columns:
        table = table.append_column("score", check_scores(raw, where, layout))
    elif "label" in layout.columns:
        labels, layout = check_labels(raw, where, layout)
        table, conversion = from_labels(table.append_column("label", labels), where, layout)
    warnings = (*notes, *lists, *remarks.sentences(), *conversion)
    warnings += tuple(check_relations(table, where, layout.shown))
    return CheckedSplit(table, where, warnings, replace(layout, shape=shape_of(table).name))


def assemble(
    train: CheckedSplit, dev: CheckedSplit, source: str, provenance: Provenance, warnings: tuple[str, ...] = ()
) -> ExampleSet:
    """Return both splits as data sets, with all warnings; raise `UserError` if `check_usable` rejects one."""
    check_usable(train, "train")
    check_usable(dev, "dev")
    warnings = (*warnings, *train.warnings, *dev.warnings, *shared_texts(train, dev), *found_first(dev))
    data = ExampleSet(to_dataset(train.table), to_dataset(dev.table), None, source, provenance, warnings)
    # Free the memory that Arrow keeps after the checks: at a million pairs three times the size of the pairs.
    pa.default_memory_pool().release_unused()
    return data


def check_usable(split: CheckedSplit, role: str, alternative: str = "") -> None:
    """Raise `UserError` if the split has too few examples, or all have the same score, label, anchor or positive.

    `role`: train or dev; `alternative`: further advice, appended to "add pairs".
    """
    count, shape = split.table.num_rows, split.shape
    if count < MIN_ROWS[role]:
        raise UserError(
            f"{split.where}: expected at least {MIN_ROWS[role]} {shape.noun} for {role}, found {count}: add"
            f" {shape.noun} to it{alternative}."
        )
    for name in [shape.label] if shape.label else ["anchor", "positive"]:
        values = pc.unique(split.table[name])
        if len(values) == 1:
            found = f"{values[0].as_py():g} of 1" if name == "score" else short_repr(values[0].as_py())
            raise UserError(
                f"{split.where}, column {split.layout.shown(name)!r}: expected different {name}s, found {found} for all"
                f" {count:,} {shape.noun} of {role}, which leaves nothing to learn and nothing to rank: add"
                f" {shape.noun} with other {name}s{alternative}."
            )


def shared_texts(train: CheckedSplit, dev: CheckedSplit) -> list[str]:
    """Return a warning with the number of texts in both splits and the rows of the first; empty without any."""
    ids = text_ids(train.table, dev.table)
    shared, at_train, at_dev = np.intersect1d(ids[0].ravel(), ids[1].ravel(), return_indices=True)
    if not len(shared):
        return []
    i = int(at_dev.argmin())
    positions = (int(at[i]) // each.shape[1] for at, each in zip((at_train, at_dev), ids, strict=True))
    rows = [split.table[ROW][position] for split, position in zip((train, dev), positions, strict=True)]
    return [
        f"{len(shared):,} text(s) occur in both train ({train.where}) and dev ({dev.where});"
        f" the first is in data row {rows[0]} of train and data row {rows[1]} of dev."
    ]


def found_first(dev: CheckedSplit) -> list[str]:
    """Return a warning about anchors that are also candidates, and so are ranked before every right answer."""
    count, first = (0, 0) if dev.shape.label else queries_among_candidates(dev.table)
    if not count:
        return []
    return [
        f"{dev.where}: {count:,} anchor(s) of dev are also a positive or negative, and are ranked first for themselves;"
        f" the first is in data row {dev.table[ROW][first]}."
    ]
