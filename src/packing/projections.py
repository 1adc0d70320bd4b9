"""Fused QKV: query, key and value of a self-attention computed in one matrix product."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

QKV_NAMES = (("query", "key", "value"), ("q_proj", "k_proj", "v_proj"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v"))
"""Names of the query, key and value projections in transformers' attention modules."""


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
