"""Checked tables of sentence pairs, and data sets built from them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

from src.data.columns import COLUMNS, ROW, SENTENCES, Columns, Remarks, check_scores, check_text
from src.data.shapes import Shape, shape_of
from src.utils.errors import UserError

MIN_PAIRS = {"train": 2, "dev": 3}
"""Minimum number of pairs in each split; a rank correlation of two pairs is always 1 or -1."""
DIGEST_LENGTH = 36
"""Longest digest of a data set that MLflow accepts."""


@dataclass(frozen=True)
class Provenance:
    """Origin of pairs, for tags and the model card."""

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

    @property
    def reported(self) -> Dataset:
        """The split of the final score: test if there is one, else dev."""
        return self.dev if self.test is None else self.test


@dataclass(frozen=True)
class Pairs:
    """Checked pairs of one split."""

    table: pa.Table
    """sentence1, sentence2: string (NFC); score: double in 0..1; `ROW`: the data row in the file."""
    where: str
    """File, or Hub data set and split, for messages."""
    warnings: tuple[str, ...] = ()


def check_pairs(raw: pa.Table, where: str, columns: Columns, notes: Sequence[str] = ()) -> Pairs:
    """Return the pairs of a table with `columns` and numbered rows, normalised and rescaled to 0..1.

    `notes`: remarks of the reader, which become warnings.

    Raises `UserError` naming the first row with a sentence that is missing, blank or not text, or a score that is
    not a number or out of range.
    """
    remarks = Remarks(where)
    texts = [check_text(raw, name, remarks) for name in (columns.sentence1, columns.sentence2)]
    table = pa.table([*texts, check_scores(raw, where, columns), raw[ROW]], names=[*COLUMNS, ROW])
    return Pairs(table, where, (*notes, *remarks.sentences(), *_duplicates(table, where)))


def assemble(
    train: Pairs, dev: Pairs, source: str, provenance: Provenance, warnings: tuple[str, ...] = ()
) -> ExampleSet:
    """Return both splits as data sets, with all warnings; raise `UserError` if `check_usable` rejects one."""
    check_usable(train, "train")
    check_usable(dev, "dev")
    warnings = (*warnings, *train.warnings, *dev.warnings, *shared_sentences(train, dev))
    data = ExampleSet(to_dataset(train.table), to_dataset(dev.table), None, source, provenance, warnings)
    # Free the memory that Arrow keeps after the checks: at a million pairs three times the size of the pairs.
    pa.default_memory_pool().release_unused()
    return data


def check_usable(pairs: Pairs, role: str, alternative: str = "") -> None:
    """Raise `UserError` if the split has too few pairs, or all of them have the same score.

    `role`: train or dev; `alternative`: further advice, appended to "add pairs".
    """
    count = pairs.table.num_rows
    if count < MIN_PAIRS[role]:
        raise UserError(
            f"{pairs.where}: expected at least {MIN_PAIRS[role]} pairs for {role}, found {count}: add pairs to it"
            f"{alternative}."
        )
    bounds = pc.min_max(pairs.table["score"]).as_py()
    if bounds["min"] == bounds["max"]:
        raise UserError(
            f"{pairs.where}, column 'score': expected different scores, found {bounds['min']:g} of 1 for all {count:,}"
            f" pairs of {role}, which leaves Spearman undefined and nothing to learn: add pairs with other scores"
            f"{alternative}."
        )


def shared_sentences(train: Pairs, dev: Pairs) -> list[str]:
    """Return a warning with the number of sentences in both splits and the rows of the first; empty without any."""
    in_train, in_dev = (ids.ravel() for ids in sentence_ids(train.table, dev.table))
    shared, at_train, at_dev = np.intersect1d(in_train, in_dev, return_indices=True)
    if not len(shared):
        return []
    i = int(at_dev.argmin())
    rows = [pairs.table[ROW][int(at[i]) // 2].as_py() for pairs, at in ((train, at_train), (dev, at_dev))]
    return [
        f"{len(shared):,} sentence(s) occur in both train ({train.where}) and dev ({dev.where});"
        f" the first is in data row {rows[0]} of train and data row {rows[1]} of dev."
    ]


def sentence_ids(*tables: pa.Table) -> list[NDArray[np.int64]]:
    """Return for each table an array (rows, 2) of sentence ids; equal sentences have the same id in all tables."""
    chunks = [chunk for table in tables for name in SENTENCES for chunk in table[name].chunks]
    encoded = pa.chunked_array(chunks, type=pa.string()).dictionary_encode()  # one dictionary for all chunks
    ids = np.concatenate([np.empty(0, np.int64), *(chunk.indices.to_numpy() for chunk in encoded.chunks)])
    ends = np.cumsum([0, *(2 * table.num_rows for table in tables)])
    return [ids[start:end].reshape(2, -1).T for start, end in pairwise(ends)]


def to_dataset(table: pa.Table) -> Dataset:
    """Return an Arrow-backed data set with the columns sentence1, sentence2 and score of the table."""
    table = table.select(list(COLUMNS))
    # Without a given fingerprint, the library would pickle the complete table to compute one.
    return Dataset(table, fingerprint=_digest(table))


def to_table(dataset: Dataset) -> pa.Table:
    """Return the Arrow table of a data set of pairs, with its indices mapping applied."""
    return dataset.with_format("arrow")[:].select(list(COLUMNS))


def digest(dataset: Dataset) -> str:
    """Return a digest (36 characters) of the pairs in their order, the same on any machine."""
    return _digest(to_table(dataset))


def _duplicates(table: pa.Table, where: str) -> list[str]:
    """Return warnings about pairs that repeat an earlier pair, in either order, and about contradicting scores."""
    ids = sentence_ids(table)[0]
    low, high = ids.min(axis=1), ids.max(axis=1)
    _, first, group = np.unique(low * (high.max(initial=0) + 1) + high, return_index=True, return_inverse=True)
    earlier = first[group]
    repeats = earlier != np.arange(len(ids))
    if not repeats.any():
        return []
    scores, rows = table["score"].to_numpy(), table[ROW].to_numpy()
    swapped = repeats & (ids[:, 0] != ids[earlier, 0])
    contradicting = repeats & ~np.isclose(scores, scores[earlier])
    i = int(repeats.argmax())
    warnings = [
        f"{where}: {repeats.sum():,} pair(s) repeat an earlier pair, {swapped.sum():,} of them with the sentences"
        f" swapped; the first are data rows {rows[earlier[i]]} and {rows[i]}."
    ]
    if contradicting.any():
        i = int(contradicting.argmax())
        warnings.append(
            f"{where}: {contradicting.sum():,} of the repeated pairs contradict the earlier score; the first are data"
            f" rows {rows[earlier[i]]} and {rows[i]} with {scores[earlier[i]]:.3f} and {scores[i]:.3f} of 1."
        )
    return warnings


def _digest(table: pa.Table) -> str:
    total = hashlib.sha256()
    for name in COLUMNS:
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
