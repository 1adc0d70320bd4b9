"""Sentences of a batch end to end in one sequence: next to no padding is computed, and both columns share a forward.

The linear layers see the tokens of all sentences as one sequence of T tokens. Only attention needs them apart: it works
on rows of L tokens with a few sentences each, and a mask keeps these from seeing one another.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from src.training.dropout import dropout

PACKED = "packed"


def packed_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention within each sentence of a packed batch; (1, heads, T, d) → (1, T, heads, d).

    A batch that is not packed (an evaluation) goes to the library's own `sdpa_attention_forward`.
    """
    mask = kwargs.pop("pack_mask", None)
    if mask is None:
        output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return output

    def by_row(states: Tensor) -> Tensor:
        states = repeat_kv(states, query.shape[1] // states.shape[1])  # heads may share a key and a value
        return states.reshape(len(mask), -1, states.shape[-1])  # (heads · rows, L, d)

    scores = torch.baddbmm(mask, by_row(query), by_row(key).transpose(1, 2), alpha=kwargs["scaling"])
    context = dropout(scores.softmax(-1), kwargs["dropout"], module.training) @ by_row(value)
    return context.view(query.shape).transpose(1, 2), None


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)
