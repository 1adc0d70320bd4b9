"""A checked table of sentence pairs, and the data set made of it."""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

from src.data.columns import COLUMNS, ROW, SENTENCES, Columns
from src.data.values import check_scores, check_text

DIGEST_LENGTH = 36
"""The most characters MLflow takes for the digest of a data set."""


@dataclass(frozen=True)
class Pairs:
    """The pairs of one split, checked, with the place they come from and what was odd about them."""

    table: pa.Table
    """sentence1, sentence2: string (NFC); score: double in 0..1; `ROW`: the data row in the file."""
    where: str
    """File, or Hub data set with its split."""
    findings: tuple[str, ...] = ()


def check_pairs(raw: pa.Table, where: str, columns: Columns) -> Pairs:
    """Return the pairs of a numbered table that holds `columns`, normalised and rescaled to 0..1.

    Raises `UserError` naming the first row with a sentence that is missing, blank or no text, or a score that is no
    number or out of range.
    """
    checked = [check_text(raw, where, name) for name in (columns.sentence1, columns.sentence2)]
    score = check_scores(raw, where, columns)
    table = pa.table([*(text for text, _ in checked), score, raw[ROW]], names=[*COLUMNS, ROW])
    findings = [finding for _, found in checked for finding in found]
    return Pairs(table, where, (*findings, *_duplicates(table, where)))


def _duplicates(table: pa.Table, where: str) -> list[str]:
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
    findings = [
        f"{where}: {repeats.sum():,} pair(s) repeat an earlier pair, {swapped.sum():,} of them with the sentences"
        f" swapped; the first are data rows {rows[earlier[i]]} and {rows[i]}."
    ]
    if contradicting.any():
        i = int(contradicting.argmax())
        findings.append(
            f"{where}: {contradicting.sum():,} of the repeated pairs contradict the earlier score; the first are data"
            f" rows {rows[earlier[i]]} and {rows[i]} with {scores[earlier[i]]:.3f} and {scores[i]:.3f} of 1."
        )
    return findings


def shared_sentences(train: Pairs, dev: Pairs) -> list[str]:
    """Return a finding with the count and the first example where sentences occur in both splits, else nothing."""
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
    """Return for each table an array (rows, 2) of sentence numbers; equal sentences have equal numbers everywhere."""
    chunks = [chunk for table in tables for name in SENTENCES for chunk in table[name].chunks]
    encoded = pa.chunked_array(chunks, type=pa.string()).dictionary_encode()  # one dictionary for all chunks
    ids = np.concatenate([np.empty(0, np.int64), *(chunk.indices.to_numpy() for chunk in encoded.chunks)])
    ends = np.cumsum([0, *(2 * table.num_rows for table in tables)])
    return [ids[start:end].reshape(2, -1).T for start, end in pairwise(ends)]


def to_dataset(table: pa.Table) -> Dataset:
    """Return an Arrow-backed data set with the columns sentence1, sentence2 and score of the table."""
    table = table.select(list(COLUMNS))
    # Without a fingerprint of its own, the library would pickle the whole table to get one.
    return Dataset(table, fingerprint=_digest(table))


def to_table(dataset: Dataset) -> pa.Table:
    """Return the Arrow table behind a data set of pairs, its row selection applied."""
    return dataset.with_format("arrow")[:].select(list(COLUMNS))


def digest(dataset: Dataset) -> str:
    """Return a digest (36 characters) of the pairs: equal pairs in equal order have it on any machine."""
    return _digest(to_table(dataset))


def _digest(table: pa.Table) -> str:
    total = hashlib.sha256()
    for name in COLUMNS:
        lengths, content = hashlib.sha256(), hashlib.sha256()
        for chunk in table[name].chunks:
            _update(lengths, content, chunk)
        total.update(name.encode() + lengths.digest() + content.digest())
    return total.hexdigest()[:DIGEST_LENGTH]


def _update(lengths: Any, content: Any, chunk: pa.Array) -> None:
    if not pa.types.is_string(chunk.type):
        content.update(chunk.to_numpy(zero_copy_only=False).astype("<f8"))
        return
    lengths.update(pc.binary_length(chunk).to_numpy(zero_copy_only=False).astype("<i4"))
    # Reading the bytes in place: a chunk may be a slice of longer buffers.
    offsets = np.frombuffer(chunk.buffers()[1], dtype=np.int32)[chunk.offset :][: len(chunk) + 1]
    data = chunk.buffers()[2]
    if data is not None and len(chunk):
        content.update(memoryview(data)[offsets[0] : offsets[-1]])
