"""Weighted mean of the parameters of encoders that were trained from the same base."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from sentence_transformers import SentenceTransformer
from torch.optim.swa_utils import AveragedModel

from src.config.model import HubEncoder
from src.encoder.hub import load_hub
from src.utils.errors import UserError


def average_encoders(folders: Sequence[Path], weights: Sequence[float]) -> SentenceTransformer:
    """Return `weighted_mean` of the encoders in these folders, one of which is loaded at a time."""
    encoders = ((str(folder), load_hub(HubEncoder(path=str(folder)))) for folder in folders)
    return weighted_mean(encoders, weights)


def weighted_mean(encoders: Iterable[tuple[str, SentenceTransformer]], weights: Sequence[float]) -> SentenceTransformer:
    """Return an encoder with the weighted mean of the parameters of these encoders with their names, in float32.

    Tokenizer, prompts and settings are those of the first. The mean is computed in float64, so that it does not depend
    on their order. The encoders stay as they are; the first weight must be above 0.

    Raises `UserError` if an encoder has other modules or parameters than the first.
    """
    # the share of each in the mean of it and those before it: 1, 1/2, 1/3, … for equal weights
    shares = (np.asarray(weights) / np.cumsum(weights)).tolist()
    averaged: AveragedModel | None = None
    for name, encoder in encoders:
        if averaged is None:
            first = name
            averaged = AveragedModel(encoder, avg_fn=lambda mean, new, n: mean.lerp(new.double(), shares[int(n)]))
            averaged.double()
        _check_alike(averaged.module, encoder, first, name)
        averaged.update_parameters(encoder)
    assert averaged is not None
    mean = cast(SentenceTransformer, averaged.module.float().eval())
    mean._model_card_text = None  # the card of the first does not describe the mean
    return mean


def _check_alike(first: SentenceTransformer, other: SentenceTransformer, folder: str, other_folder: str) -> None:
    """Raise `UserError` unless both have the same modules, settings, vocabulary and shapes of parameters."""
    shapes, others = ({name: tuple(value.shape) for name, value in one.state_dict().items()} for one in (first, other))
    differing = sorted(name for name in shapes.keys() | others.keys() if shapes.get(name) != others.get(name))
    if differing or str(first) != str(other):
        name = differing[0] if differing else ""
        found = f"{name} {others.get(name, 'missing')} and {shapes.get(name, 'missing')}" if name else "other modules"
        raise UserError(
            f"{other_folder}: expected an encoder with the modules and the shapes of the one in {folder}, found"
            f" {found}: average only encoders that were trained from the same base."
        )
    if _vocabulary(first) != _vocabulary(other):  # the rows of the embedding table stand for other tokens
        raise UserError(
            f"{other_folder}: expected an encoder with the vocabulary of the one in {folder}, found another: average"
            " only encoders that were trained from the same base."
        )


def _vocabulary(encoder: SentenceTransformer) -> dict[str, int] | None:
    """Return the ids of the tokens, None for an encoder whose tokenizer has none."""
    vocabulary = getattr(getattr(encoder, "tokenizer", None), "get_vocab", None)
    return vocabulary() if callable(vocabulary) else None
