"""Checks of the single values of a table of pairs: sentences and scores. All of it runs inside Arrow."""

from collections.abc import Callable
from typing import Any
from unicodedata import normalize

import pyarrow as pa
import pyarrow.compute as pc

from src.data.columns import ROW, Columns, first_true, refuse
from src.errors import UserError

LONGEST = 100_000
"""Longest sentence in characters; what is longer is a file read wrongly, not a sentence."""
VISIBLE = r"[^\s\pZ\pC]"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
SCALES = ((0, 1), (-1, 1), (0, 5), (1, 5), (0, 10), (0, 100))
BATCH = 65_536
"""Sentences held as Python strings at a time."""
MANY = 20
"""From this number of pairs on, scores that use only 0..1 of a wider range are taken for a mistake."""

Mask = Callable[[Any], Any]

TEXT_FAULTS: dict[str, Mask] = {
    "a sentence": pc.is_null,
    "a sentence, not blank": lambda text: pc.invert(pc.match_substring_regex(text, VISIBLE)),
    "text without NUL characters": lambda text: pc.match_substring(text, "\0"),
    f"a sentence of at most {LONGEST:,} characters": lambda text: pc.greater(pc.utf8_length(text), LONGEST),
}
TEXT_ODDITIES: dict[str, Mask] = {
    "hold a line break (is a quotation mark not closed?)": lambda text: pc.match_substring(text, "\n"),
    "hold the replacement character U+FFFD (was the file converted wrongly?)": lambda text: pc.match_substring(
        text, "\ufffd"
    ),
}


def check_text(raw: pa.Table, where: str, column: str) -> tuple[pa.ChunkedArray, list[str]]:
    """Return the column as strings in Unicode NFC and what was odd about it.

    Raises `UserError` for what is no sentence.
    """
    text = _as_text(raw[column], where, column)
    for expected, fault in TEXT_FAULTS.items():
        position = first_true(fault(text))
        if position >= 0:
            refuse(raw, position, where, column, expected, "correct the row or take it out")
    normal = _to_nfc(text)
    odd = {"were not in Unicode NFC, decomposed Hangul for one, and were normalised": pc.not_equal(text, normal)}
    odd |= {what: oddity(normal) for what, oddity in TEXT_ODDITIES.items()}
    return normal, [
        f"{where}: {pc.sum(mask).as_py():,} value(s) of {column!r} {what}; the first is data row"
        f" {raw[ROW][first_true(mask)].as_py()}."
        for what, mask in odd.items()
        if first_true(mask) >= 0
    ]


def _to_nfc(text: pa.ChunkedArray) -> pa.ChunkedArray:
    # Arrow's own utf8_normalize decomposes whatever form is asked for (apache/arrow#51225, pyarrow 25.0).
    pieces = (batch.column(0) for batch in pa.table([text], names=["text"]).to_batches(max_chunksize=BATCH))
    normal = ([normalize("NFC", value) for value in piece.to_numpy(zero_copy_only=False)] for piece in pieces)
    return pa.chunked_array([pa.array(values, pa.string()) for values in normal], type=pa.string())


def _as_text(values: pa.ChunkedArray, where: str, column: str) -> pa.ChunkedArray:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    holds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    if not any(test(kind) for test in holds):
        raise UserError(f"{where}, column {column!r}: expected text, found {kind}: name a column of sentences.")
    return values.cast(pa.string())


def check_scores(raw: pa.Table, where: str, columns: Columns) -> pa.ChunkedArray:
    """Return the scores rescaled to 0..1 as doubles; raise `UserError` for what is no number or out of range."""
    scores = _as_numbers(raw, where, columns.score)
    low, high = columns.min_score, columns.max_score
    found = pc.min_max(scores).as_py()
    position = first_true(pc.or_(pc.less(scores, low), pc.greater(scores, high)))
    if position >= 0:
        remedy = _other_range(found["min"], found["max"]) if columns.adjustable else "correct the row"
        refuse(raw, position, where, columns.score, f"a score from {low:g} to {high:g}", remedy)
    if len(scores) >= MANY and high > 1 and found["max"] <= 1 and found["min"] >= 0:
        raise UserError(
            f"{where}, column {columns.score!r}: expected scores from {low:g} to {high:g}, found all {len(scores):,}"
            f" within {found['min']:g} to {found['max']:g}:"
            f" {'set data.min_score=0 data.max_score=1' if columns.adjustable else 'use the labels as published'}."
        )
    return pc.divide(pc.subtract(scores, low), high - low)


def _other_range(low: float, high: float) -> str:
    fits = [scale for scale in SCALES if scale[0] <= low and high <= scale[1]]
    bounds = fits[0] if fits else (low, high)
    return (
        f"the scores here run from {low:g} to {high:g}, so set data.min_score={bounds[0]:g}"
        f" data.max_score={bounds[1]:g} if that is their range, or correct the row"
    )


def _as_numbers(raw: pa.Table, where: str, column: str) -> pa.ChunkedArray:
    values = raw[column]
    remedy = "write a number such as 0.5 or take the row out"
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = pc.utf8_trim(values, characters=" \t")
        position = first_true(pc.invert(pc.match_substring_regex(values, NUMBER)))
        if position >= 0:
            refuse(raw, position, where, column, "a number", remedy)
    kind = values.type
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    if not any(test(kind) for test in (*numeric, pa.types.is_string, pa.types.is_large_string)):
        raise UserError(f"{where}, column {column!r}: expected numbers, found {kind}: name a column of scores.")
    numbers = values.cast(pa.float64())
    position = first_true(pc.invert(pc.fill_null(pc.is_finite(numbers), False)))
    if position >= 0:
        refuse(raw, position, where, column, "a finite number", remedy)
    return numbers
