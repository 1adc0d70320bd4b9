"""The columns a source promises, and how a value that breaks the promise is named to the user."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from src.errors import UserError

SENTENCES = ("sentence1", "sentence2")
COLUMNS = (*SENTENCES, "score")
ROW = "#row"
"""Column with the data row (counted from 1) in the file, kept through every filter until the data set is made."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns of one source, the range of its scores, and what a user may do where they differ."""

    sentence1: str = "sentence1"
    sentence2: str = "sentence2"
    score: str = "score"
    min_score: float = 0.0
    max_score: float = 1.0
    extra: tuple[str, ...] = ()
    """Further text columns to read."""
    rename: str = "rename the columns or set data.sentence1, data.sentence2 and data.score"
    """What to do where a column is missing."""
    adjustable: bool = True
    """Whether the user may set the range by data.min_score and data.max_score."""

    @property
    def text(self) -> tuple[str, ...]:
        """Names of the text columns."""
        return (*self.extra, self.sentence1, self.sentence2)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns to read, each once."""
        return tuple(dict.fromkeys((*self.text, self.score)))

    def require(self, found: Sequence[str], where: str) -> None:
        """Raise `UserError` unless each column is among those `found`, exactly once."""
        missing = [name for name in self.names if name not in found]
        if missing:
            raise UserError(
                f"{where}: expected the columns {list(self.names)}, found {shown(list(found))} without {missing}:"
                f" {self.rename}."
            )
        twice = [name for name, count in Counter(found).items() if count > 1 and name in self.names]
        if twice:
            raise UserError(f"{where}: expected each column once, found {twice} more than once: rename the others.")


def number_rows(table: pa.Table) -> pa.Table:
    """Return the table with its data rows numbered from 1 in the column `ROW`."""
    return table.append_column(ROW, pa.array(np.arange(1, table.num_rows + 1)))


def first_true(mask: Any) -> int:
    """Return the position of the first true value of an Arrow array, -1 where there is none."""
    return int(pc.index(mask, pa.scalar(True)).as_py())


def shown(value: Any, longest: int = 60) -> str:
    """Return the value as an error may show it: on one line and cut to `longest` characters."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def refuse(table: pa.Table, position: int, where: str, column: str, expected: str, remedy: str) -> NoReturn:
    """Raise the `UserError` that names file, data row, column, value and remedy."""
    row, value = table[ROW][position].as_py(), table[column][position].as_py()
    raise UserError(f"{where}, data row {row}, column {column!r}: expected {expected}, found {shown(value)}: {remedy}.")
