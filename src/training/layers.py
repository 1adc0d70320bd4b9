"""Layers of a transformer: lower learning rates for lower ones, and frozen embeddings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from src.config.training import TrainerConfig
from src.utils.errors import UserError


def layers_of(transformer: Any) -> tuple[str, int]:
    """Return the dotted name of the list of a transformer's layers, the longest list of modules, and their number.

    Raises `UserError` if it has none.
    """
    lists = {name: len(module) for name, module in transformer.named_modules() if isinstance(module, nn.ModuleList)}
    if not lists:
        raise UserError(
            "trainer.layer_decay and trainer.freeze_embeddings need a list of layers, found none in"
            f" {type(transformer).__name__}: leave them at 1 and false."
        )
    name = max(lists, key=lambda name: lists[name])
    return name, lists[name]


def embedding_weights(transformer: Any) -> dict[str, nn.Parameter]:
    """Return the parameters that a transformer defines before its first layer: those of its embeddings."""
    layers, _ = layers_of(transformer)
    weights: dict[str, nn.Parameter] = {}
    for name, weight in transformer.named_parameters():
        if name.startswith(f"{layers}."):
            break
        weights[name] = weight
    return weights


def learning_rates(transformer: Any, config: TrainerConfig) -> dict[str, float]:
    """Return the learning rates of layers and embeddings by a pattern of parameter names; empty without a decay.

    The highest layer, and all modules above it, have `config.learning_rate`.
    """
    if transformer is None or config.layer_decay == 1:
        return {}
    layers, count = layers_of(transformer)
    rates = [config.learning_rate * config.layer_decay**below for below in range(count + 1)]
    mapping = {rf"\.{re.escape(layers)}\.{count - 1 - below}\.": rates[below] for below in range(1, count)}
    trained = [name for name, weight in embedding_weights(transformer).items() if weight.requires_grad]
    return mapping | ({rf"\.({'|'.join(map(re.escape, trained))})$": rates[count]} if trained else {})


@contextmanager
def frozen_embeddings(transformer: Any, enabled: bool) -> Iterator[None]:
    """Leave the parameters of the embeddings untrained for the duration of the block, if `enabled`."""
    weights = [weight for weight in embedding_weights(transformer).values() if weight.requires_grad] if enabled else []
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
