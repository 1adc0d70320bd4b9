"""Columns of a source of examples by name, and checks of their texts."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from src.utils.errors import UserError

ROW = "#row"
"""Column with the number of the data row in the file, from 1, for error messages; not part of the final data sets."""
MAX_LENGTH = 100_000
"""Maximum characters of a sentence; a longer one suggests a file that was parsed wrongly."""
VISIBLE = r"[^\s\pZ\pC]"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
BATCH = 65_536
"""Sentences converted to Python strings at a time."""

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
        position = first_true(mask)
        if position >= 0:
            self.counts[name, kind] += pc.sum(mask).as_py()
            self.rows.setdefault((name, kind), rows[position].as_py())

    def sentences(self) -> list[str]:
        """Return a sentence for each column and kind."""
        return [
            f"{self.where}: {count:,} value(s) of {name!r} {kind}; the first is data row {self.rows[name, kind]}."
            for (name, kind), count in self.counts.items()
        ]


def require_columns(wanted: Sequence[str], found: Sequence[str], where: str, advice: str) -> None:
    """Raise `UserError`, with the advice for a missing column, unless `found` has each wanted column exactly once."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(
            f"{where}: expected the columns {list(wanted)}, found {short_repr(list(found), 200)} without {missing}:"
            f" {advice}."
        )
    twice = [name for name, count in Counter(found).items() if count > 1 and name in wanted]
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


def check_text(raw: pa.Table, name: str, remarks: Remarks, shown: str = "") -> pa.ChunkedArray:
    """Return the column or nested field as strings in Unicode NFC; count unusual values in `remarks`.

    `shown`: the name of the column in messages, if it differs. Raises `UserError` for a value that is not a sentence.
    """
    shown = shown or name
    text = _as_text(column(raw, name), remarks.where, shown)
    for expected, is_invalid in INVALID_TEXT.items():
        refuse(is_invalid(text), raw[ROW], text, remarks.where, shown, expected, "correct the row or take it out")
    normal = _to_nfc(text)
    remarks.add(shown, NOT_NFC, raw[ROW], pc.not_equal(text, normal))
    for kind, is_unusual in UNUSUAL_TEXT.items():
        remarks.add(shown, kind, raw[ROW], is_unusual(normal))
    return normal


def first_true(mask: Any) -> int:
    """Return the position of the first true value of an Arrow array, -1 if there is none."""
    return int(pc.index(mask, pa.scalar(True)).as_py())


def refuse(mask: Any, rows: Any, values: Any, where: str, name: str, expected: str, advice: str) -> None:
    """Raise `UserError` for the first row where the mask is true, if there is one.

    `rows`: numbers of the data rows; `values`: what was found in them.
    """
    position = first_true(mask)
    if position >= 0:
        raise invalid_value(where, rows[position].as_py(), name, expected, values[position].as_py(), advice)


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
