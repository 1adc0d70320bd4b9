"""Attention over packed batches, and the check that packing does not change an encoder's embeddings.

The linear layers process the tokens of all texts as one sequence of T tokens. Only attention has to separate the texts:
it works on bins of L tokens with a few texts each, and a mask blocks attention between them. Not supported: relative
position bias (T5), a sliding window shorter than a text (ModernBERT), and a causal mask.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from src.data.shapes import text_columns
from src.encoder.prompts import unpooled_for
from src.packing.batches import PackedCollator
from src.packing.dropout import dropout
from src.utils.errors import UserError

PACKED = "packed"
CHECKED = 3
"""Number of texts in the equivalence check, the first ones, besides the longest."""
TOLERANCE = 2e-5
"""Largest accepted distance of the embeddings relative to their norm; rounding gives 1e-6, and a sliding window that is
shorter than a text 1e-4 even in an encoder with random weights. TF32 products, which torch leaves off, give more."""


def move_rows(rows: Tensor, sources: Tensor, places: Tensor) -> Tensor:
    """Return the rows `sources`, whose gradients are taken from `places` in the result, one for each row.

    Other places in the result, which are filled with some row, have no gradient here. The backward pass of
    `index_select` adds up those of all places, which is slower.
    """
    moved: Tensor = _MoveRows.apply(rows, sources, places)
    return moved


class _MoveRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, sources: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return rows.index_select(0, sources)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


def attend_by_bin(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Return the attention output within each text of a packed batch; (1, heads, T, d) → (1, T, heads, d).

    A batch that is not packed is passed to transformers' `sdpa_attention_forward`.
    """
    mask = kwargs.pop("pack_mask", None)
    if mask is None:
        output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return output
    slots, rows, (_, heads, length, width) = kwargs["pack_slots"], kwargs["pack_rows"], query.shape

    def by_bin(states: Tensor) -> Tensor:
        states = repeat_kv(states, heads // states.shape[1])  # grouped-query attention
        flat = states.transpose(1, 2).reshape(-1, width)  # (T · heads, d)
        return move_rows(flat, slots, rows).view(len(mask), -1, width)  # (heads · bins, L, d)

    scores = torch.baddbmm(mask, by_bin(query), by_bin(key).transpose(1, 2), alpha=kwargs["scaling"])
    context = dropout(scores.softmax(-1), kwargs["dropout"], module.training) @ by_bin(value)
    return move_rows(context.view(-1, width), rows, slots).view(1, length, heads, width), None


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


def check_packing(encoder: SentenceTransformer, examples: Dataset) -> None:
    """Compare packed with padded embeddings of a few tokenised examples, in evaluation mode; draws no random number.

    Raises `UserError` if they differ, or the encoder's attention cannot be replaced.
    """
    for column in text_columns(examples.column_names):
        distance = packing_error(encoder, list(examples[column]), unpooled_for(encoder, column))
        if not distance < TOLERANCE:
            raise UserError(
                f"trainer.batching=packed: expected {type(encoder[0].model).__name__} to embed packed texts as it does"
                f" padded ones, found a relative distance of {distance:.2g}: set trainer=stock."
            )


def is_packable(encoder: SentenceTransformer, texts: Sequence[list[int]], unpooled: int) -> bool:
    """Return whether the encoder's attention can be replaced, with the same embeddings of a few tokenised texts."""
    try:
        return packing_error(encoder, texts, unpooled) < TOLERANCE
    except UserError:
        return False


@torch.no_grad()
def packing_error(encoder: SentenceTransformer, texts: Sequence[list[int]], unpooled: int) -> float:
    """Return the distance of packed from padded embeddings of a few tokenised texts, relative to the norm of these.

    Raises `UserError` if the encoder's attention cannot be replaced.
    """
    training = encoder.training
    encoder.eval()
    few = [max(texts, key=len), *texts[:CHECKED]]
    padded = _embed(encoder, encoder.tokenizer.pad({"input_ids": few}, return_tensors="pt"), unpooled)
    with packed_attention(encoder, True):
        features = PackedCollator.for_encoder(encoder, torch.float32).pack_texts(few, unpooled)
        packed = _embed(encoder, features, unpooled)[: len(few)]
    encoder.train(training)
    return float((packed - padded).norm() / padded.norm())


def _embed(encoder: SentenceTransformer, features: Mapping[str, Tensor], unpooled: int) -> Tensor:
    prompt = {"prompt_length": unpooled} if unpooled else {}
    moved = {name: values.to(encoder.device) for name, values in features.items()}
    embeddings: Tensor = encoder({**moved, **prompt})["sentence_embedding"]
    return embeddings
