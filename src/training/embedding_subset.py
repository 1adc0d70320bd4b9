"""Trainable subset of the word embeddings of an encoder: the tokens that occur in the examples."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn

from src.data.shapes import text_columns


def used_tokens(sets: Iterable[Dataset]) -> Tensor:
    """Return the token ids that occur in sets of tokenised examples, ascending."""
    tables = [examples.with_format("arrow")[:] for examples in sets]
    chunks = [
        chunk.flatten() for table in tables for name in text_columns(table.column_names) for chunk in table[name].chunks
    ]
    return torch.from_numpy(np.unique(np.concatenate([np.unique(chunk.to_numpy()) for chunk in chunks])))


class EmbeddingSubset(nn.Module):
    """Replacement for `nn.Embedding` that trains only some rows; its state dict contains the whole table.

    A gradient of the whole table would be zero except for a few hundred rows per step, yet it would be written,
    included in the clipping norm and passed through AdamW. Without weight decay, AdamW does not change a row that never
    had a gradient, so training only the used rows gives exactly the same weights. For 5,371 Korean pairs they are a
    twelfth of the table.
    """

    weight: Tensor
    used: Tensor
    index: Tensor

    def __init__(self, table: Tensor, used: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(table[used])
        """The used rows, shape (used, dimension)."""
        index = torch.full((len(table),), -1).index_copy_(0, used, torch.arange(len(used)))
        # the whole table, up to date whenever the model is not in training mode
        self.register_buffer("weight", table, persistent=False)
        self.register_buffer("used", used, persistent=False)
        # the row of each token id; -1 for an id that is not in the training set, so that its lookup fails
        self.register_buffer("index", index, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings of token ids."""
        if self.training:
            return nn.functional.embedding(self.index[ids], self.rows)
        return nn.functional.embedding(ids, self.weight)

    @torch.no_grad()
    def merge(self) -> Tensor:
        """Write the used rows into the whole table and return the table."""
        self.weight[self.used] = self.rows
        return self.weight

    def train(self, mode: bool = True) -> "EmbeddingSubset":
        """Switch the mode and return this module; on leaving training mode, update the whole table."""
        if not mode:
            self.merge()
        return super().train(mode)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.merge()

    @torch.no_grad()
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        self.weight.copy_(state_dict[f"{prefix}weight"])
        self.rows.copy_(self.weight[self.used])


@contextmanager
def embedding_subset(transformer: Any, used: Tensor | None) -> Iterator[None]:
    """Train only the `used` rows of a model's word embeddings (None: all rows) for the duration of the block.

    An embedding that is frozen, or does more than a lookup (some models scale the result), is left unchanged.
    """
    table = None if used is None else transformer.get_input_embeddings()
    if used is None or type(table) is not nn.Embedding or not table.weight.requires_grad:
        yield
        return
    subset = EmbeddingSubset(table.weight.detach(), used)
    transformer.set_input_embeddings(subset)
    try:
        yield
    finally:
        table.weight.data = subset.merge()
        transformer.set_input_embeddings(table)
