"""Conversion of lists to rows and columns, and of labelled pairs to positives and triplets."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from src.config.model import NEGATIVE
from src.data.columns import ROW, refuse
from src.data.layouts import Layout
from src.data.relations import text_ids
from src.utils.errors import UserError

LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def spread_lists(raw: pa.Table, where: str, layout: Layout) -> tuple[pa.Table, list[str]]:
    """Return a row for each positive of a list and a column for each negative of a list, and notes on what is left out.

    A table without lists is returned as it is. Raises `UserError` for a list without positives, and if triplets are
    expected and there are no negatives.
    """
    if "positive" in raw.column_names and _is_list(raw["positive"]):
        raw = _spread_positives(raw, where, layout.shown("positive"))
    if NEGATIVE in raw.column_names and _is_list(raw[NEGATIVE]):
        return _spread_negatives(raw, where, layout)
    return raw, []


def from_labels(table: pa.Table, where: str, layout: Layout) -> tuple[pa.Table, list[str]]:
    """Return labelled pairs in the shape of the layout, without those whose label is null, and notes on them.

    Positives are the pairs with label 1. Triplets join two pairs with labels 1 and 0 and an equal sentence1; where one
    label has fewer pairs, they are repeated, so that each pair is in a triplet. Raises `UserError` if there are none.
    """
    left_out = table["label"].null_count
    if layout.shape == "labelled":
        note = f"{where}: {left_out:,} row(s) were left out, whose label stands for neither 0 nor 1 (data.labels)."
        return table.filter(pc.is_valid(table["label"])), [note] if left_out else []
    examples, remark = (_triplets if layout.shape == "triplets" else _positives)(table, layout)
    note = f"{where}: {len(table):,} labelled pairs became {len(examples):,} {layout.shape}{remark}"
    if not len(examples):
        raise UserError(f"{note}: set another data.shape, or data.labels to say which pairs fit.")
    return examples, [f"{note}."]


def _positives(pairs: pa.Table, layout: Layout) -> tuple[pa.Table, str]:
    """Return the pairs with label 1, and a remark on them."""
    chosen = pairs.filter(pc.equal(pairs["label"], 1)).drop_columns("label")
    positives = chosen.rename_columns({"sentence1": "anchor", "sentence2": "positive"})
    return positives, f", those with {layout.shown('label')} {_word(layout, 1)}"


def _triplets(table: pa.Table, layout: Layout) -> tuple[pa.Table, str]:
    """Return triplets of three different texts, and a remark on what is left out."""
    pairs = table.filter(pc.is_valid(table["label"]))
    anchors = text_ids(pairs.select(["sentence1"]))[0][:, 0]
    positive, negative = _match(anchors, pc.equal(pairs["label"], 1).to_numpy())
    joined = pairs.take(positive).drop_columns("label").rename_columns({"sentence1": "anchor", "sentence2": "positive"})
    right, wrong = joined["positive"], pairs["sentence2"].take(negative)
    is_distinct = pc.and_(pc.not_equal(right, wrong), pc.not_equal(joined["anchor"], wrong))
    triplets = joined.append_column(NEGATIVE, wrong).filter(is_distinct)
    total, used = (pc.count_distinct(texts).as_py() for texts in (table["sentence1"], triplets["anchor"]))
    if used == total:
        return triplets, ""
    return triplets, (
        f"; {total - used:,} of {total:,} texts of {layout.shown('sentence1')!r} were left out, which have no pair with"
        f" {layout.shown('label')} {_word(layout, 1)} and another with {_word(layout, 0)}"
    )


def _word(layout: Layout, label: int) -> str:
    """Return the first label of the source that stands for 0 or 1."""
    return next((word for word, value in layout.labels.items() if value == label), str(label))


def _match(anchors: NDArray[np.int64], is_positive: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of positives and of negatives that form triplets, ordered by anchor."""
    members, sizes, starts = [], [], []
    for mask in (is_positive, ~is_positive):
        rows = np.flatnonzero(mask)
        members.append(rows[np.argsort(anchors[rows], kind="stable")])
        sizes.append(np.bincount(anchors[rows], minlength=int(anchors.max(initial=-1)) + 1))
        starts.append(np.cumsum(sizes[-1]) - sizes[-1])
    counts = np.where(np.minimum(*sizes) > 0, np.maximum(*sizes), 0)
    anchor = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(anchor)) - np.repeat(np.cumsum(counts) - counts, counts)
    positive, negative = (
        rows[start[anchor] + number % size[anchor]] for rows, size, start in zip(members, sizes, starts, strict=True)
    )
    return positive, negative


def _is_list(values: pa.ChunkedArray) -> bool:
    return any(is_type(values.type) for is_type in LISTS)


def _spread_positives(raw: pa.Table, where: str, name: str) -> pa.Table:
    """Return a row for each positive, with the other columns and the number of the data row repeated."""
    lists = raw["positive"].cast(pa.list_(raw["positive"].type.value_type))
    is_empty = pc.equal(pc.fill_null(pc.list_value_length(lists), 0), 0)
    refuse(is_empty, raw[ROW], lists, where, name, "a list with at least one text", "add one or take the row out")
    others = raw.take(pc.list_parent_indices(lists))
    return others.set_column(raw.column_names.index("positive"), "positive", pc.list_flatten(lists))


def _spread_negatives(raw: pa.Table, where: str, layout: Layout) -> tuple[pa.Table, list[str]]:
    """Return a column for each negative, without the rows that have too few; without any negatives the positives."""
    lists = raw[NEGATIVE].cast(pa.list_(raw[NEGATIVE].type.value_type))
    others, counts = raw.drop_columns(NEGATIVE), pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    most = int(counts.max(initial=0))
    if not most:
        return others, []
    number = layout.negatives or int(counts[counts > 0].min())
    if number > most:
        raise UserError(
            f"{where}, column {layout.shown(NEGATIVE)!r}: expected rows with {number} negatives (data.negatives), found"
            f" at most {most}: set it to {most} or less."
        )
    is_kept = counts >= number
    triplets, lists = others.filter(pa.array(is_kept)), lists.filter(pa.array(is_kept))
    for at in range(number):
        name = f"{NEGATIVE}_{at + 1}" if number > 1 else NEGATIVE
        triplets = triplets.append_column(name, pc.list_element(lists, at))
    notes = []
    if not is_kept.all():
        first = raw[ROW][int((~is_kept).argmax())]
        notes.append(
            f"{where}: {(~is_kept).sum():,} example(s) with fewer than {number} negatives were left out, the first of"
            f" data row {first.as_py()}; data.negatives sets the number, and data.shape=positives does without them."
        )
    unused = int(counts[is_kept].sum()) - number * len(triplets)
    if unused:
        notes.append(f"{where}: {unused:,} negative(s) were left out, those after the first {number} of an example.")
    return triplets, notes
