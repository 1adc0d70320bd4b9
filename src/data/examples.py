"""Data sets of training examples, and their digests."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from src.data.columns import ROW
from src.data.shapes import LABELS, Shape, shape_of, text_columns

DIGEST_LENGTH = 36
"""Longest digest of a data set that MLflow accepts."""


@dataclass(frozen=True)
class Provenance:
    """Origin of examples, for tags and the model card."""

    name: str
    url: str | None
    license: str | None
    language: str
    note: str | None
    """Caveats for readers of a result, such as inferred values."""


@dataclass(frozen=True)
class ExampleSet:
    """Examples of one shape, ready for training; in a mixture the primary set, whose metric leads."""

    train: Dataset
    """Columns as in `Shape`, strings in Unicode NFC; so are those of dev and test."""
    dev: Dataset
    test: Dataset | None
    source: str
    """local, hub, sample, files or generated."""
    provenance: Provenance
    warnings: tuple[str, ...]
    """Warnings about valid but unusual input, one sentence each; of a mixture about all sets."""
    name: str = "train"
    """Key of the set in a mixture."""
    others: tuple["ExampleSet", ...] = ()
    """The other sets of a mixture."""

    @property
    def shape(self) -> Shape:
        """The shape of all splits."""
        return shape_of(self.train)

    @property
    def sets(self) -> dict[str, "ExampleSet"]:
        """All sets of a mixture by name, the primary one first."""
        return {each.name: each for each in (self, *self.others)}

    def suffix(self, name: str) -> str:
        """Return the end of names of what belongs to a set of a mixture: ` of NAME`, empty for the primary one."""
        return "" if name == self.name else f" of {name}"

    @property
    def reported(self) -> Dataset:
        """The split of the final score: test if there is one, else dev."""
        return self.dev if self.test is None else self.test

    @property
    def splits(self) -> dict[str, Dataset]:
        """The splits by name: train, dev and, if there is one, test."""
        return {"train": self.train, "dev": self.dev} | ({"test": self.test} if self.test else {})


def to_dataset(table: pa.Table) -> Dataset:
    """Return an Arrow-backed data set with the columns of the table, without the numbers of the data rows."""
    table = table.select(_columns(table))
    # Without a given fingerprint, the library would pickle the complete table to compute one.
    return Dataset(table, fingerprint=_digest(table))


def to_table(dataset: Dataset) -> pa.Table:
    """Return the Arrow table of a data set, the label last, with its indices mapping applied."""
    table = dataset.with_format("arrow")[:]
    return table.select(_columns(table))


def digest(dataset: Dataset) -> str:
    """Return a digest (36 characters) of the examples in their order, the same on any machine."""
    return _digest(to_table(dataset))


def unordered_digest(dataset: Dataset) -> str:
    """Return a digest (36 characters) of the examples that does not depend on their order."""
    table = to_table(dataset)
    return _digest(table.sort_by([(name, "ascending") for name in table.column_names]))


def _columns(table: pa.Table) -> list[str]:
    """Return the columns of texts, then that of the score or label."""
    names = [name for name in table.column_names if name != ROW]
    return [*text_columns(names), *(name for name in names if name in LABELS)]


def _digest(table: pa.Table) -> str:
    total = hashlib.sha256()
    for name in table.column_names:
        lengths, content = hashlib.sha256(), hashlib.sha256()
        for chunk in table[name].chunks:
            _update(lengths, content, chunk)
        total.update(name.encode() + lengths.digest() + content.digest())
    return total.hexdigest()[:DIGEST_LENGTH]


def _update(lengths: Any, content: Any, chunk: pa.Array) -> None:
    """Update the hashes of text lengths and of content with a chunk."""
    if not pa.types.is_string(chunk.type):
        content.update(chunk.to_numpy(zero_copy_only=False).astype("<f8"))
        return
    lengths.update(pc.binary_length(chunk).to_numpy(zero_copy_only=False).astype("<i4"))
    # Read the bytes in place: a chunk may be a slice of longer buffers.
    offsets = np.frombuffer(chunk.buffers()[1], dtype=np.int32)[chunk.offset :][: len(chunk) + 1]
    data = chunk.buffers()[2]
    if data is not None and len(chunk):
        content.update(memoryview(data)[offsets[0] : offsets[-1]])
