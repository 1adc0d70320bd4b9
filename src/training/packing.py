"""Sentences of a batch end to end in one sequence: nothing is computed for padding, and both columns share a forward.

The linear layers see the tokens of all sentences as one row of T tokens. Only attention needs them apart: it works on a
padded view (n sentences, L tokens each), which two index tensors of the batch make and undo.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from src.training.dropout import dropout

PACKED = "packed"


class Place(torch.autograd.Function):
    """(T · heads, d) → (n · heads · L, d): the head of each token at its place in the padded view."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sources: Tensor, places: Tensor) -> Tensor:
        """Gather: where there is no token any other will do, since nothing attends to it."""
        ctx.save_for_backward(places)
        return rows.index_select(0, sources)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Gather the gradients of the tokens; those of the padding are zero."""
        return gradients[0].index_select(0, ctx.saved_tensors[0]), None, None


class Collect(torch.autograd.Function):
    """(n · heads · L, d) → (T · heads, d): the inverse of `Place`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:
        """Gather the tokens."""
        ctx.save_for_backward(places)
        ctx.shape = rows.shape
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Place the gradients of the tokens; the padding gets zeros."""
        return gradients[0].new_zeros(ctx.shape).index_copy_(0, ctx.saved_tensors[0], gradients[0]), None


def packed_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention within each sentence of a packed batch; (1, heads, T, d) → (1, T, heads, d).

    A batch that is not packed (an evaluation) goes to the library's own `sdpa_attention_forward`.
    """
    padding, places = kwargs.pop("pack_padding", None), kwargs.pop("pack_places", None)
    sources = kwargs.pop("pack_sources", None)
    if padding is None:
        output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return output
    _, heads, _, size = query.shape

    def by_sentence(states: Tensor) -> Tensor:
        rows: Tensor = Place.apply(states[0].transpose(0, 1).reshape(-1, size), sources, places)
        return rows.view(-1, padding.shape[-1], size)

    scores = torch.baddbmm(padding, by_sentence(query), by_sentence(key).transpose(1, 2), alpha=kwargs["scaling"])
    context = dropout(scores.softmax(-1), kwargs["dropout"], module.training) @ by_sentence(value)
    return Collect.apply(context.flatten(0, 1), places).view(1, -1, heads, size), None


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)
