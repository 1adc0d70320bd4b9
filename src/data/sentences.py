"""Digests of the sentences that a model was trained on, in a compact file, to recognise them in other sets."""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

from src.data.examples import ExampleSet, to_table
from src.data.relations import text_ids, texts_of
from src.utils.errors import UserError, shorten

FILE = "train_sentences.npy"
"""Name of the file in a result folder: 8 bytes for each distinct sentence, 80 KB for 10,000."""

Digests = NDArray[np.uint64]
"""Sorted digests of distinct sentences. Of 8 bytes each, one in 10^12 sentences is taken for one of two million."""


def trained_on(examples: ExampleSet) -> Digests:
    """Return the digests of the sentences of the train splits of all sets."""
    return sentence_digests(each.train for each in examples.sets.values())


def sentence_digests(splits: Iterable[Dataset]) -> Digests:
    """Return the digests of the sentences in all columns of texts, each once."""
    tables = [to_table(split) for split in splits]
    chunks = [chunk for table in tables for name in texts_of(table) for chunk in table[name].chunks]
    distinct = pc.unique(pa.chunked_array(chunks, pa.string()))
    return np.unique(np.fromiter(map(_digest, distinct.to_pylist()), np.uint64, len(distinct)))


def save_digests(digests: Digests, path: Path) -> None:
    """Write digests into a new file."""
    np.save(path, digests, allow_pickle=False)


def load_digests(folder: Path) -> Digests | None:
    """Return the digests in a result folder, None if it has none; raise `UserError` for a damaged file."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        digests = np.array(np.load(path, mmap_mode="r", allow_pickle=False))  # mapped: checks the size before reading
        if digests.dtype != np.uint64 or digests.ndim != 1:
            raise ValueError(f"{digests.dtype} of shape {digests.shape}")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path}: expected the digests of training sentences, found {shorten(error)}: remove it, or train again."
        ) from error
    return np.unique(digests)


def count_seen(split: Dataset, digests: Digests) -> int:
    """Return the number of distinct sentences of a split that are among those of the digests."""
    return int(np.isin(sentence_digests([split]), digests).sum())


def rows_seen(split: Dataset, digests: Digests) -> NDArray[np.bool_]:
    """Return for each row of a split whether one of its sentences is among those of the digests."""
    table = to_table(split)
    ids = text_ids(table)[0]
    texts, at = np.unique(ids, return_index=True)
    columns = [table[name].to_pylist() for name in texts_of(table)]
    rows, places = np.divmod(at, ids.shape[1])
    found = [_digest(columns[place][row]) for row, place in zip(rows.tolist(), places.tolist(), strict=True)]
    is_seen: NDArray[np.bool_] = np.isin(ids, texts[np.isin(np.array(found, np.uint64), digests)])
    any_seen: NDArray[np.bool_] = np.logical_or.reduce(is_seen, axis=1)
    return any_seen


def _digest(sentence: str) -> int:
    return int.from_bytes(blake2b(sentence.encode(), digest_size=8).digest(), "little")
