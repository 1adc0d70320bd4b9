"""Attention over packed batches.

The linear layers process the tokens of all texts as one sequence of T tokens. Only attention has to separate the texts:
it works on bins of L tokens with a few texts each, and a mask blocks attention between them. Not supported: relative
position bias (T5), a sliding window shorter than a text (ModernBERT), and a causal mask.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from src.packing.dropout import dropout
from src.utils.errors import UserError

PACKED = "packed"


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
