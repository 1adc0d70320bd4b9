"""Relations between the texts of examples: repeated, contradicting, equal and shared ones."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from src.data.columns import ROW, invalid_value
from src.data.shapes import LABELS, shape_of, text_columns

Ids = NDArray[np.int64]


def texts_of(table: pa.Table) -> list[str]:
    """Return the columns of texts of a table with or without numbers of the data rows."""
    return text_columns([name for name in table.column_names if name != ROW])


def text_ids(*tables: pa.Table) -> list[Ids]:
    """Return for each table an array (rows, text columns) of ids; equal texts have the same id in all tables."""
    chunks = [chunk for table in tables for name in texts_of(table) for chunk in table[name].cast(pa.string()).chunks]
    encoded = pa.chunked_array(chunks, type=pa.string()).dictionary_encode()  # one dictionary for all chunks
    ids = np.concatenate([np.empty(0, np.int64), *(chunk.indices.to_numpy() for chunk in encoded.chunks)])
    widths = [len(texts_of(table)) for table in tables]
    ends = np.cumsum([0, *(width * table.num_rows for width, table in zip(widths, tables, strict=True))])
    return [ids[start:end].reshape(width, -1).T for width, (start, end) in zip(widths, pairwise(ends), strict=True)]


def check_relations(table: pa.Table, where: str, shown: Callable[[str], str]) -> list[str]:
    """Return warnings about rows that repeat an earlier row, and about positives and negatives that are equal.

    `shown`: gives the name of a column in messages. Raises `UserError` for a negative equal to its positive or anchor.
    """
    ids = text_ids(table)[0]
    warnings = _repeats(table, ids, where)
    if shape_of(table).label:
        return warnings
    _refuse_equal(table, ids, where, shown)
    rows, (anchors, positives, *_) = table[ROW], ids.T
    same = np.flatnonzero(anchors == positives)
    if len(same):
        warnings.append(
            f"{where}: {len(same):,} positive(s) are equal to their anchor, from which nothing is learnt; the first is"
            f" in data row {rows[int(same[0])]}, column {shown('positive')!r}."
        )
    width = int(ids.max(initial=0)) + 1
    right = anchors * width + positives
    at, column = np.nonzero(np.isin(anchors[:, None] * width + ids[:, 2:], right))
    if len(at):
        warnings.append(
            f"{where}: {len(at):,} negative(s) are a positive of the same anchor in another row; the first is in data"
            f" row {rows[int(at[0])]}, column {shown(texts_of(table)[2 + int(column[0])])!r}."
        )
    return warnings


def queries_among_candidates(table: pa.Table) -> tuple[int, int]:
    """Return the number of anchors that are also a positive or negative, and the position of the first, or 0, 0."""
    ids = text_ids(table)[0]
    same = np.flatnonzero(np.isin(ids[:, 0], ids[:, 1:]))
    return (len(np.unique(ids[same, 0])), int(same[0])) if len(same) else (0, 0)


def first_shared(train: pa.Table, dev: pa.Table) -> tuple[int, str]:
    """Return the number of texts in both tables, and the first of them in train."""
    in_train, in_dev = text_ids(train, dev)
    shared = np.argwhere(np.isin(in_train, in_dev))
    if not len(shared):
        return 0, ""
    row, column = shared[0]
    return len(np.intersect1d(in_train, in_dev)), train[texts_of(train)[column]][int(row)].as_py()


def _repeats(table: pa.Table, ids: Ids, where: str) -> list[str]:
    """Return warnings about rows that repeat an earlier one, of pairs in either order, and about other labels."""
    label = next((name for name in LABELS if name in table.column_names), None)
    keys = _row_keys(np.sort(ids, axis=1) if label else ids)
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    earlier = first[group]
    repeats = earlier != np.arange(len(ids))
    if not repeats.any():
        return []
    rows, noun = table[ROW].to_numpy(), "pair" if label else "example"
    i = int(repeats.argmax())
    swapped = (repeats & (ids[:, 0] != ids[earlier, 0])).sum()
    note = f", {swapped:,} of them with the sentences swapped" if label else ""
    warnings = [
        f"{where}: {repeats.sum():,} {noun}(s) repeat an earlier {noun}{note}; the first are data rows"
        f" {rows[earlier[i]]} and {rows[i]}."
    ]
    gold = table[label].to_numpy() if label else np.zeros(len(ids))
    contradicting = repeats & ~np.isclose(gold, gold[earlier])
    if contradicting.any():
        i = int(contradicting.argmax())
        warnings.append(
            f"{where}: {contradicting.sum():,} of the repeated pairs contradict the earlier {label}; the first are data"
            f" rows {rows[earlier[i]]} and {rows[i]} with {gold[earlier[i]]:.3g} and {gold[i]:.3g}."
        )
    return warnings


def _row_keys(ids: Ids) -> Ids:
    """Return a number for each row of ids; equal rows have the same."""
    width = int(ids.max(initial=0)) + 1
    keys = ids[:, 0]
    for column in ids.T[1:]:
        keys = np.unique(keys * width + column, return_inverse=True)[1]
    return keys


def _refuse_equal(table: pa.Table, ids: Ids, where: str, shown: Callable[[str], str]) -> None:
    """Raise `UserError` for the first negative that is equal to the positive or the anchor of its row."""
    names = texts_of(table)
    for other in (1, 0):
        at, column = np.nonzero(ids[:, 2:] == ids[:, other, None])
        if len(at):
            row, name = int(at[0]), names[2 + int(column[0])]
            raise invalid_value(
                where,
                table[ROW][row].as_py(),
                shown(name),
                f"another text than its {names[other]}",
                table[name][row].as_py(),
                f"correct the row or take it out ({len(np.unique(at)):,} row(s) of the file)",
            )
