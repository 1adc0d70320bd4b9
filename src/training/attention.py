"""Attention over packed batches, and the check that packing does not change an encoder's embeddings.

The linear layers process the tokens of all sentences as one sequence of T tokens. Only attention has to separate the
sentences: it works on bins of L tokens with a few sentences each, and a mask blocks attention between them. Not
supported: relative position bias (T5), a sliding window shorter than a sentence (ModernBERT), and a causal mask.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow.compute as pc
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from src.data.shapes import text_columns
from src.encoder.prompts import unpooled_for
from src.training.packing import PackedCollator, embed_packed, features_of
from src.training.speedups import dropout
from src.utils.errors import UserError

PACKED = "packed"
CHECKED = 8
"""Number of examples in the equivalence check, the first ones, besides that with the longest text of each column."""
TOLERANCE = 1e-3
"""Largest accepted distance of the embeddings relative to their norm; rounding gives 1e-6, TF32 products more."""


def attend_by_bin(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Return the attention output within each sentence of a packed batch; (1, heads, T, d) → (1, T, heads, d).

    A batch that is not packed (in an evaluation) is passed to transformers' `sdpa_attention_forward`.
    """
    mask = kwargs.pop("pack_mask", None)
    if mask is None:
        output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return output

    def by_bin(states: Tensor) -> Tensor:
        states = repeat_kv(states, query.shape[1] // states.shape[1])  # grouped-query attention
        return states.reshape(len(mask), -1, states.shape[-1])  # (heads · bins, L, d)

    scores = torch.baddbmm(mask, by_bin(query), by_bin(key).transpose(1, 2), alpha=kwargs["scaling"])
    context = dropout(scores.softmax(-1), kwargs["dropout"], module.training) @ by_bin(value)
    return context.view(query.shape).transpose(1, 2), None


AttentionInterface.register(PACKED, attend_by_bin)
AttentionMaskInterface.register(PACKED, sdpa_mask)


def attention_of(transformer: Any) -> str:
    """Return the name of a transformer's attention implementation."""
    return str(transformer.config._attn_implementation)


@contextmanager
def packed_attention(encoder: SentenceTransformer, enabled: bool) -> Iterator[None]:
    """Use `attend_by_bin` as the encoder's attention for the duration of the block, if `enabled`.

    Raises `UserError` if the encoder's attention cannot be replaced and would mix the sentences of a packed batch.
    """
    if not enabled:
        yield
        return
    transformer = encoder[0].model
    former = attention_of(transformer)
    transformer.set_attn_implementation(PACKED)
    if attention_of(transformer) != PACKED:  # transformers only logs a warning
        raise UserError(
            "trainer.batching=packed: expected an encoder whose attention can be replaced, found"
            f" {type(transformer).__name__}: set trainer=stock."
        )
    try:
        yield
    finally:
        transformer.set_attn_implementation(former)


@torch.no_grad()
def check_packing(encoder: SentenceTransformer, examples: Dataset) -> None:
    """Compare packed with padded embeddings of a few tokenised examples, in evaluation mode; draws no random number.

    Raises `UserError` if they differ, or the encoder's attention cannot be replaced.
    """
    training = encoder.training
    encoder.eval()
    few = _checked_rows(examples)
    padded = torch.cat([_embed_padded(encoder, few, column) for column in text_columns(examples.column_names)])
    with packed_attention(encoder, True):
        sequences = features_of(PackedCollator.for_encoder(encoder, torch.float32)(few))
        moved = [{name: values.to(encoder.device) for name, values in features.items()} for features in sequences]
        packed = torch.cat(embed_packed(encoder, moved))
    encoder.train(training)
    distance = float((packed - padded).norm() / padded.norm())
    if not distance < TOLERANCE:
        raise UserError(
            f"trainer.batching=packed: expected {type(encoder[0].model).__name__} to embed packed sentences as it does"
            f" padded ones, found a relative distance of {distance:.2g}: set trainer=stock."
        )


def _checked_rows(examples: Dataset) -> list[dict[str, Any]]:
    table = examples.with_format("arrow")[:]
    lengths = [pc.list_value_length(table[column]) for column in text_columns(table.column_names)]
    longest = [pc.index(column, pc.max(column)).as_py() for column in lengths]
    return [examples[index] for index in (*longest, *range(min(CHECKED, len(examples))))]


def _embed_padded(encoder: SentenceTransformer, rows: list[dict[str, Any]], column: str) -> Tensor:
    ids = {"input_ids": [row[column] for row in rows]}
    features = encoder.tokenizer.pad(ids, return_attention_mask=True, return_tensors="pt")
    unpooled = unpooled_for(encoder, column)
    prompt = {"prompt_length": unpooled} if unpooled else {}
    embeddings: Tensor = encoder({**features.to(encoder.device), **prompt})["sentence_embedding"]
    return embeddings
