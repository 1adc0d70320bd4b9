"""Embeddings of the texts of a data set, each of which is encoded once for each prompt before it."""

from collections.abc import Iterator
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


def embed(encoder: SentenceTransformer, examples: Dataset, batch_size: int) -> Embedded:
    """Return the embedded columns of texts; leaves the encoder in evaluation mode.

    Texts of all columns with the same prompt are encoded together, in the order of the columns and rows.
    """
    names = text_columns(examples.column_names)
    table = examples.select_columns(names).to_pandas()
    texts: list[str] = []
    vectors: list[Tensor] = []
    columns: dict[str, Codes] = {}
    for prompt, same in _by_prompt(encoder, names):
        codes, distinct = pd.factorize(pd.concat([table[name] for name in same]))
        columns |= zip(same, np.split(codes + len(texts), len(same)), strict=True)
        vectors.append(
            encoder.encode(
                distinct.tolist(), prompt=prompt, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
            ).float()
        )
        texts += distinct.tolist()
    return Embedded(np.array(texts, dtype=object), torch.cat(vectors), {name: columns[name] for name in names})


def _by_prompt(encoder: SentenceTransformer, names: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each prompt with the columns whose texts it precedes."""
    prompts = {name: prompt_for(encoder, name) for name in names}
    for prompt in dict.fromkeys(prompts.values()):
        yield prompt, [name for name in names if prompts[name] == prompt]
