"""Embeddings of the texts of a data set, each of which is encoded once for each prompt before it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor

from src.data.shapes import text_columns
from src.encoder.prompts import prompt_for
from src.evaluation.statistics import Floats
from src.packing.encode import encode

ROWS = 8192
"""Rows whose similarities are computed at a time: 12 MB for each column of 384 dimensions."""

Codes = NDArray[np.int64]
"""Indices of texts."""


@dataclass(frozen=True)
class Embedded:
    """The columns of texts of a data set, as indices into its distinct texts, and the embeddings of these."""

    texts: NDArray[np.object_]
    """Each text once, or once for each prompt that some column puts before it."""
    vectors: Tensor
    """Embeddings of `texts`, shape (texts, dimension)."""
    columns: dict[str, Codes]
    """For each column of texts the index of each row's text, shape (rows,)."""

    def cut(self, dim: int) -> "Embedded":
        """Return the same columns with embeddings cut to their first `dim` numbers."""
        return Embedded(self.texts, self.vectors[:, :dim], self.columns)

    def embeddings(self, column: str, rows: slice | list[int]) -> Tensor:
        """Return the embeddings (rows, dimension) of some rows of a column."""
        return self.vectors[torch.from_numpy(self.columns[column][rows]).to(self.vectors.device)]

    def similarities(self, first: str, second: str) -> Floats:
        """Return the cosine similarity of two columns in each row, shape (rows,), -1 to 1."""
        starts = range(0, len(self.columns[first]), ROWS)
        parts = ([self.embeddings(name, slice(at, at + ROWS)) for name in (first, second)] for at in starts)
        return np.concatenate([pairwise_cos_sim(*part).cpu().double().numpy() for part in parts])


def embed(encoder: SentenceTransformer, examples: Dataset, batch_size: int, precision: str = "fp32") -> Embedded:
    """Return the embedded columns of texts; leaves the encoder in evaluation mode.

    Texts of all columns with the same prompt are encoded together, in the order of the columns and rows.
    """
    return embed_all(encoder, [examples], batch_size, precision)[0]


def embed_all(
    encoder: SentenceTransformer, splits: Sequence[Dataset], batch_size: int, precision: str = "fp32"
) -> list[Embedded]:
    """Return the embedded columns of several data sets, whose texts are encoded once for all of them."""
    tables = [split.select_columns(text_columns(split.column_names)).to_pandas() for split in splits]
    series = {(number, name): table[name] for number, table in enumerate(tables) for name in table.columns}
    texts: list[str] = []
    vectors: list[Tensor] = []
    codes: dict[tuple[int, str], Codes] = {}
    for prompt, same in _by_prompt(encoder, list(series)):
        found, distinct = pd.factorize(pd.concat([series[key] for key in same]))
        ends = np.cumsum([len(series[key]) for key in same])[:-1]
        codes |= zip(same, np.split(found + len(texts), ends), strict=True)
        vectors.append(encode(encoder, distinct.tolist(), prompt, batch_size, precision))
        texts += distinct.tolist()
    shared, together = np.array(texts, dtype=object), torch.cat(vectors)
    return [
        Embedded(shared, together, {name: codes[number, name] for name in table.columns})
        for number, table in enumerate(tables)
    ]


def _by_prompt(
    encoder: SentenceTransformer, columns: list[tuple[int, str]]
) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Yield each prompt with the columns, by number of the data set and name, whose texts it precedes."""
    prompts = {key: prompt_for(encoder, key[1]) for key in columns}
    for prompt in dict.fromkeys(prompts.values()):
        yield prompt, [key for key in columns if prompts[key] == prompt]
