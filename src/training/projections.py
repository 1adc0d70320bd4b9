"""Query, key and value of self-attention from one matrix product in place of three.

One product of three times the width is faster than three; their input is cast and their gradients are added up once.
The weights stay where they are, so that nothing else can tell.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

NAMES = (("query", "key", "value"), ("q_proj", "k_proj", "v_proj"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v"))
"""What transformers calls the three projections of an attention."""


@contextmanager
def joint_projections(model: nn.Module, enabled: bool) -> Iterator[None]:
    """Project jointly wherever a module has three such linear layers, for as long as the block lasts."""
    joined = [layers for module in model.modules() if enabled and (layers := projections(module))]
    for layers in joined:
        join(layers)
    try:
        yield
    finally:
        for layer in chain.from_iterable(joined):
            del layer.forward  # what hid the method of the class


def projections(module: nn.Module) -> list[nn.Linear]:
    """Return the three projections of an attention from the same input, an empty list for another module."""
    for names in NAMES:
        layers = [layer for name in names if type(layer := getattr(module, name, None)) is nn.Linear]
        if len(layers) == len(names) and len({(layer.in_features, layer.bias is None) for layer in layers}) == 1:
            return layers
    return []


def join(layers: list[nn.Linear]) -> None:
    """Let the first layer compute all of them; the others hand out what it has left for them.

    A layer that gets another input than the first, as in cross-attention, computes on its own.
    """
    first, *others = layers
    widths = [layer.out_features for layer in layers]
    left: dict[nn.Linear, tuple[Tensor, Tensor]] = {}

    def compute_all(states: Tensor) -> Tensor:
        weight = torch.cat([layer.weight for layer in layers])
        bias = None if first.bias is None else torch.cat([layer.bias for layer in layers])
        own: Tensor
        own, *parts = nn.functional.linear(states, weight, bias).split(widths, -1)
        left.update({layer: (states, part) for layer, part in zip(others, parts, strict=True)})
        return own

    def hand_out(layer: nn.Linear, states: Tensor) -> Tensor:
        of, part = left.pop(layer, (None, states))
        return part if of is states else nn.Linear.forward(layer, states)

    first.forward = compute_all  # type: ignore[method-assign, assignment]
    for layer in others:
        layer.forward = partial(hand_out, layer)  # type: ignore[method-assign]
