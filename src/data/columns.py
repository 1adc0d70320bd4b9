"""Columns of a source of sentence pairs, and checks of their texts and scores."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from src.utils.errors import UserError

SENTENCES = ("sentence1", "sentence2")
COLUMNS = (*SENTENCES, "score")
ROW = "#row"
"""Column with the number of the data row in the file, from 1, for error messages; not part of the final data sets."""
MAX_LENGTH = 100_000
"""Maximum characters of a sentence; a longer one suggests a file that was parsed wrongly."""
VISIBLE = r"[^\s\pZ\pC]"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
NUMBER_TYPES = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
SCALES = ((0, 1), (-1, 1), (0, 5), (1, 5), (0, 10), (0, 100))
BATCH = 65_536
"""Sentences converted to Python strings at a time."""
MANY = 20
"""Number of scores from which on a column with all scores within 0 to 1 of a wider range is rejected."""

Mask = Callable[[Any], Any]

INVALID_TEXT: dict[str, Mask] = {
    "a sentence": pc.is_null,
    "a sentence, not blank": lambda text: pc.invert(pc.match_substring_regex(text, VISIBLE)),
    "text without NUL characters": lambda text: pc.match_substring(text, "\0"),
    f"a sentence of at most {MAX_LENGTH:,} characters": lambda text: pc.greater(pc.utf8_length(text), MAX_LENGTH),
}
"""For each expectation, a function that returns the mask of the values that violate it."""
UNUSUAL_TEXT: dict[str, Mask] = {
    "contain a line break (is a quotation mark not closed?)": lambda text: pc.match_substring_regex(text, r"[\r\n]"),
    "contain the replacement character U+FFFD (was the file converted wrongly?)": lambda text: pc.match_substring(
        text, "\ufffd"
    ),
}
"""For each remark, a function that returns the mask of the values that it counts."""
NOT_NFC = "were not in Unicode NFC, decomposed Hangul for one, and were normalised"


class Remarks:
    """Numbers of unusual values of a file by column, with the first of each kind."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.counts = Counter[tuple[str, str]]()
        """Number of values by column and kind."""
        self.rows: dict[tuple[str, str], int] = {}
        """Data row of the first value."""

    def add(self, name: str, kind: str, rows: pa.ChunkedArray, mask: Any) -> None:
        """Count the values of the column `name` where the mask is true."""
        position = _first_true(mask)
        if position >= 0:
            self.counts[name, kind] += pc.sum(mask).as_py()
            self.rows.setdefault((name, kind), rows[position].as_py())

    def sentences(self) -> list[str]:
        """Return a sentence for each column and kind."""
        return [
            f"{self.where}: {count:,} value(s) of {name!r} {kind}; the first is data row {self.rows[name, kind]}."
            for (name, kind), count in self.counts.items()
        ]


@dataclass(frozen=True)
class Columns:
    """Names of the columns of one source, the range of its scores, and advice for error messages."""

    sentence1: str = "sentence1"
    sentence2: str = "sentence2"
    score: str = "score"
    min_score: float = 0.0
    max_score: float = 1.0
    extra: tuple[str, ...] = ()
    """Further text columns to read."""
    rename: str = "rename the columns or set data.sentence1, data.sentence2 and data.score"
    """Advice for a missing column."""
    adjustable: bool = True
    """Whether the user can set the range with data.min_score and data.max_score."""

    @property
    def text(self) -> tuple[str, ...]:
        """Names of the text columns."""
        return (*self.extra, self.sentence1, self.sentence2)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns to read, each once."""
        return tuple(dict.fromkeys((*self.text, self.score)))

    def require(self, found: Sequence[str], where: str) -> None:
        """Raise `UserError` unless `found` contains each column exactly once."""
        missing = [name for name in self.names if name not in found]
        if missing:
            raise UserError(
                f"{where}: expected the columns {list(self.names)}, found {short_repr(list(found), 200)} without"
                f" {missing}: {self.rename}."
            )
        twice = [name for name, count in Counter(found).items() if count > 1 and name in self.names]
        if twice:
            raise UserError(f"{where}: expected each column once, found {twice} more than once: rename the others.")


def column_names(schema: pa.Schema) -> list[str]:
    """Return the names of the columns, then those of the fields of their structs, such as `labels.real-label`."""
    nested = [
        f"{parent.name}.{name}"
        for parent in schema
        if pa.types.is_struct(parent.type)
        for name in column_names(pa.schema(list(parent.type)))
    ]
    return [*schema.names, *(name for name in nested if name not in schema.names)]


def column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return the column or nested field with one of the `column_names`."""
    while name not in table.column_names:
        table = table.flatten()
    return table[name]


def number_rows(table: pa.Table) -> pa.Table:
    """Return the table with the number of each data row, from 1, in the column `ROW`."""
    return table.append_column(ROW, pa.array(np.arange(1, table.num_rows + 1)))


def short_repr(value: Any, longest: int = 60) -> str:
    """Return the `repr` of a value for an error message, cut to `longest` characters."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def invalid_value(where: object, row: int, column: str, expected: str, found: Any, advice: str) -> UserError:
    """Return a `UserError` that names file, data row, column, expected and found value, and advice."""
    return UserError(
        f"{where}, data row {row}, column {column!r}: expected {expected}, found {short_repr(found)}: {advice}."
    )


def check_text(raw: pa.Table, name: str, remarks: Remarks) -> pa.ChunkedArray:
    """Return the column or nested field as strings in Unicode NFC; count unusual values in `remarks`.

    Raises `UserError` for a value that is not a sentence.
    """
    text = _as_text(column(raw, name), remarks.where, name)
    for expected, is_invalid in INVALID_TEXT.items():
        _refuse(is_invalid(text), raw, remarks.where, name, expected, "correct the row or take it out")
    normal = _to_nfc(text)
    remarks.add(name, NOT_NFC, raw[ROW], pc.not_equal(text, normal))
    for kind, is_unusual in UNUSUAL_TEXT.items():
        remarks.add(name, kind, raw[ROW], is_unusual(normal))
    return normal


def check_scores(raw: pa.Table, where: str, columns: Columns) -> pa.ChunkedArray:
    """Return the scores as doubles, rescaled to 0..1; raise `UserError` if one is not a number or out of range."""
    scores = _as_numbers(raw, where, columns.score)
    low, high = columns.min_score, columns.max_score
    found = pc.min_max(scores).as_py()
    outside = pc.or_(pc.less(scores, low), pc.greater(scores, high))
    advice = _range_advice(found) if columns.adjustable else "correct the row"
    _refuse(outside, raw, where, columns.score, f"a score from {low:g} to {high:g}", advice)
    if len(scores) >= MANY and high > 1 and found["max"] <= 1 and found["min"] >= 0:
        raise UserError(
            f"{where}, column {columns.score!r}: expected scores from {low:g} to {high:g}, found all {len(scores):,}"
            f" within {found['min']:g} to {found['max']:g}:"
            f" {'set data.min_score=0 data.max_score=1' if columns.adjustable else 'use the labels as published'}."
        )
    return pc.divide(pc.subtract(scores, low), high - low)


def _first_true(mask: Any) -> int:
    """Return the position of the first true value of an Arrow array, -1 if there is none."""
    return int(pc.index(mask, pa.scalar(True)).as_py())


def _refuse(mask: Any, raw: pa.Table, where: str, name: str, expected: str, advice: str) -> None:
    """Raise `UserError` for the first row where the mask is true, if there is one."""
    position = _first_true(mask)
    if position >= 0:
        row, found = raw[ROW][position].as_py(), column(raw, name)[position].as_py()
        raise invalid_value(where, row, name, expected, found, advice)


def _as_text(values: pa.ChunkedArray, where: str, column: str) -> pa.ChunkedArray:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not any(is_type(kind) for is_type in TEXT_TYPES):
        raise UserError(f"{where}, column {column!r}: expected text, found {kind}: name a column of sentences.")
    return values.cast(pa.string())


def _to_nfc(text: pa.ChunkedArray) -> pa.ChunkedArray:
    # Arrow's own utf8_normalize always decomposes, even for NFC (apache/arrow#51225, pyarrow 25.0).
    chunks = (batch.column(0) for batch in pa.table([text], names=["text"]).to_batches(max_chunksize=BATCH))
    normal = ([normalize("NFC", value) for value in chunk.to_numpy(zero_copy_only=False)] for chunk in chunks)
    return pa.chunked_array([pa.array(values, pa.string()) for values in normal], type=pa.string())


def _as_numbers(raw: pa.Table, where: str, column: str) -> pa.ChunkedArray:
    values = raw[column]
    advice = "write a number such as 0.5 or take the row out"
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = pc.utf8_trim(values, characters=" \t")
        _refuse(pc.invert(pc.match_substring_regex(values, NUMBER)), raw, where, column, "a number", advice)
    elif not any(is_type(values.type) for is_type in NUMBER_TYPES):
        raise UserError(f"{where}, column {column!r}: expected numbers, found {values.type}: name a column of scores.")
    numbers = values.cast(pa.float64())
    _refuse(pc.invert(pc.fill_null(pc.is_finite(numbers), False)), raw, where, column, "a finite number", advice)
    return numbers


def _range_advice(found: dict[str, float]) -> str:
    low, high = found["min"] or 0.0, found["max"] or 0.0  # None if there are no scores
    fits = [scale for scale in SCALES if scale[0] <= low and high <= scale[1]]
    bounds = fits[0] if fits else (low, high)
    return (
        f"the scores here run from {low:g} to {high:g}, so set data.min_score={bounds[0]:g}"
        f" data.max_score={bounds[1]:g} if that is their range, or correct the row"
    )
