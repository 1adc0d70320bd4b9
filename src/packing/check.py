"""The check that packing does not change an encoder's embeddings."""

from collections.abc import Mapping, Sequence

import pyarrow.compute as pc
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import Tensor

from src.encoder.inputs import transformer_of
from src.packing.attention import packed_attention
from src.packing.batches import PackedCollator
from src.utils.errors import UserError

CHECKED = 3
"""Number of texts that are compared, the first ones, besides the longest."""
TOLERANCE = 2e-5
"""Largest accepted distance of the embeddings relative to their norm; rounding gives 1e-6, and a sliding window that is
shorter than a text 1e-4 even in an encoder with random weights. TF32 products, which torch leaves off, give more."""

_passed: dict[str, int] = {}
"""Length of the longest text that has passed the check, by architecture: the trials of a sweep train copies of one
encoder, and each training evaluates its encoder before the first step."""


def check_packing(encoder: SentenceTransformer, texts: Sequence[list[int]], unpooled: int) -> None:
    """Compare packed with padded embeddings of a few tokenised texts, if one is longer than all that have passed.

    `unpooled`: number of tokens at the start of each text that pooling leaves out. Leaves the encoder's mode as it is,
    and draws no random number.

    Raises `UserError` if the embeddings differ, or the encoder's attention cannot be replaced.
    """
    architecture, longest = _architecture(encoder, unpooled), max(map(len, texts))
    if longest <= _passed.get(architecture, 0):
        return
    distance = _distance(encoder, [max(texts, key=len), *texts[:CHECKED]], unpooled)
    if not distance < TOLERANCE:
        raise UserError(
            f"trainer.batching=packed: expected {type(transformer_of(encoder)).__name__} to embed packed texts as it"
            f" does padded ones, found a relative distance of {distance:.2g}: set trainer=stock."
        )
    _passed[architecture] = longest


def texts_to_check(examples: Dataset, column: str) -> list[list[int]]:
    """Return those of a column of tokenised texts that `check_packing` looks at."""
    texts = examples.with_format("arrow")[:][column]
    longest = int(pc.list_value_length(texts).to_numpy().argmax())
    found: list[list[int]] = texts.take([*range(min(CHECKED, len(texts))), longest]).to_pylist()
    return found


def is_packable(encoder: SentenceTransformer, texts: Sequence[list[int]], unpooled: int) -> bool:
    """Return whether the encoder is a transformer that passes `check_packing`."""
    if transformer_of(encoder) is None:
        return False
    try:
        check_packing(encoder, texts, unpooled)
    except UserError:
        return False
    return True


def _architecture(encoder: SentenceTransformer, unpooled: int) -> str:
    """Return a text that is the same for encoders that differ in their weights only."""
    transformer = transformer_of(encoder)
    return f"{encoder} {transformer.config.to_json_string(use_diff=False)} {unpooled}" if transformer else ""


@torch.no_grad()
def _distance(encoder: SentenceTransformer, texts: Sequence[list[int]], unpooled: int) -> float:
    """Return the distance of packed from padded embeddings of tokenised texts, relative to the norm of these."""
    training = encoder.training
    encoder.eval()
    padded = _embed(encoder, encoder.tokenizer.pad({"input_ids": texts}, return_tensors="pt"), unpooled)
    with packed_attention(encoder, True):
        features = PackedCollator.for_encoder(encoder, torch.float32).pack_texts(texts, unpooled)
        packed = _embed(encoder, features, unpooled)[: len(texts)]
    encoder.train(training)
    return float((packed - padded).norm() / padded.norm())


def _embed(encoder: SentenceTransformer, features: Mapping[str, Tensor], unpooled: int) -> Tensor:
    prompt = {"prompt_length": unpooled} if unpooled else {}
    moved = {name: values.to(encoder.device) for name, values in features.items()}
    embeddings: Tensor = encoder({**moved, **prompt})["sentence_embedding"]
    return embeddings
