"""Faster replacements for modules of an encoder: byte dropout, fused QKV, trainable embedding subset."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn

from src.data.shapes import text_columns

QKV_NAMES = (("query", "key", "value"), ("q_proj", "k_proj", "v_proj"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v"))
"""Names of the query, key and value projections in transformers' attention modules."""


def dropout(values: Tensor, rate: float, training: bool) -> Tensor:
    """Return `values` with about `rate` of them set to 0 and the rest scaled up, or unchanged outside training.

    The mask needs one random byte for each value, not a whole random number. The rate is rounded to 256ths (0.1 becomes
    26/256 = 0.1016) and the kept values are scaled by the rounded rate, so the expectation stays exact; but in bf16 the
    scale is rounded too, which at 0.1 makes the values 0.3 % smaller.
    """
    dropped = round(rate * 256)
    if not training or dropped == 0:
        return values
    count = values.numel()
    noise = torch.empty((count + 7) // 8, dtype=torch.int64, device=values.device).random_(-(2**63), None)
    # clamping and subtracting bytes gives 0 or 1 in a tenth of the CPU time of a comparison and a cast from bool
    kept = noise.view(torch.uint8)[:count].clamp_(dropped - 1, dropped).sub_(dropped - 1).view(values.shape)
    return values * kept.to(values.dtype).mul_(256 / (256 - dropped))


class ByteDropout(nn.Dropout):
    """`nn.Dropout` with masks made from random bytes."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with dropout applied."""
        return dropout(input, self.p, self.training)


@contextmanager
def fast_dropout(model: nn.Module, enabled: bool) -> Iterator[None]:
    """Use `ByteDropout` in place of every `nn.Dropout` of the model for the duration of the block, if `enabled`."""
    layers = [module for module in model.modules() if type(module) is nn.Dropout] if enabled else []
    for layer in layers:
        layer.__class__ = ByteDropout
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Dropout


@contextmanager
def fused_qkv(model: nn.Module, enabled: bool) -> Iterator[None]:
    """Compute query, key and value of each self-attention in one matrix product for the duration of the block.

    One product of three times the width is faster than three products; it also casts the input once and needs no sum of
    three input gradients. The weights stay in their layers.
    """
    fused = [layers for module in model.modules() if enabled and (layers := qkv_layers(module))]
    for layers in fused:
        fuse_qkv(layers)
    try:
        yield
    finally:
        for layer in chain.from_iterable(fused):
            del layer.forward  # restores the method of the class


def qkv_layers(module: nn.Module) -> list[nn.Linear]:
    """Return query, key and value of an attention module if they can share an input; empty for any other module."""
    for names in QKV_NAMES:
        layers = [layer for name in names if type(layer := getattr(module, name, None)) is nn.Linear]
        if len(layers) == len(names) and len({(layer.in_features, layer.bias is None) for layer in layers}) == 1:
            return layers
    return []


def fuse_qkv(layers: list[nn.Linear]) -> None:
    """Make the first layer compute all three outputs, and the other two return their parts.

    A layer with a different input than the first, as in cross-attention, computes its own output.
    """
    first, *others = layers
    widths = [layer.out_features for layer in layers]
    outputs: dict[nn.Linear, tuple[Tensor, Tensor]] = {}

    def compute_all(states: Tensor) -> Tensor:
        weight = torch.cat([layer.weight for layer in layers])
        bias = None if first.bias is None else torch.cat([layer.bias for layer in layers])
        own: Tensor
        own, *parts = nn.functional.linear(states, weight, bias).split(widths, -1)
        outputs.update({layer: (states, part) for layer, part in zip(others, parts, strict=True)})
        return own

    def take_output(layer: nn.Linear, states: Tensor) -> Tensor:
        source, part = outputs.pop(layer, (None, states))
        return part if source is states else nn.Linear.forward(layer, states)

    first.forward = compute_all  # type: ignore[method-assign, assignment]
    for layer in others:
        layer.forward = partial(take_output, layer)  # type: ignore[method-assign]


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
