"""Word embeddings of which only the rows that the training pairs use are trained, as all the others have no gradient.

A gradient of the whole table is made of zeros but for a few hundred rows a step, yet it is written, measured for
clipping and walked through by AdamW. Without weight decay AdamW leaves a row that never had a gradient as it is, so
training a table of the used rows alone gives the very same weights: a twelfth of the table for 5,371 Korean pairs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn

from src.training.batches import COLUMNS


def used_tokens(pairs: Dataset) -> Tensor:
    """Return the token ids that occur in tokenised pairs, ascending."""
    table = pairs.with_format("arrow")[:]
    chunks = [chunk.flatten() for name in COLUMNS for chunk in table[name].chunks]
    return torch.from_numpy(np.unique(np.concatenate([np.unique(chunk.to_numpy()) for chunk in chunks])))


class UsedRows(nn.Module):
    """Stands in for an `nn.Embedding` while it is trained; its state is that of the whole table."""

    weight: Tensor
    used: Tensor
    place: Tensor

    def __init__(self, table: Tensor, used: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(table[used])
        """The used rows, shape (used, dimension)."""
        place = torch.full((len(table),), -1).index_copy_(0, used, torch.arange(len(used)))
        # the whole table, up to date whenever the model is not in training mode
        self.register_buffer("weight", table, persistent=False)
        self.register_buffer("used", used, persistent=False)
        # the row of each token id; -1, which fails, for one that the training pairs do not have
        self.register_buffer("place", place, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings of token ids."""
        if self.training:
            return nn.functional.embedding(self.place[ids], self.rows)
        return nn.functional.embedding(ids, self.weight)

    @torch.no_grad()
    def merge(self) -> Tensor:
        """Write the used rows into the whole table and return it."""
        self.weight[self.used] = self.rows
        return self.weight

    def train(self, mode: bool = True) -> "UsedRows":
        """Switch the mode; the whole table is brought up to date for an evaluation."""
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
def used_rows(transformer: Any, used: Tensor | None) -> Iterator[None]:
    """Train only the `used` rows of a model's word embeddings for as long as the block lasts; None: all rows.

    A table that is not trained, or that does more than look up (some models scale what they find), stays as it is.
    """
    table = transformer.get_input_embeddings()
    if used is None or type(table) is not nn.Embedding or not table.weight.requires_grad:
        yield
        return
    stand_in = UsedRows(table.weight.detach(), used)
    transformer.set_input_embeddings(stand_in)
    try:
        yield
    finally:
        table.weight.data = stand_in.merge()
        transformer.set_input_embeddings(table)
