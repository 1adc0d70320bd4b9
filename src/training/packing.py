"""Sentences of a batch end to end in one sequence: next to no padding is computed, and both columns share a forward.

The linear layers see the tokens of all sentences as one sequence of T tokens. Only attention needs them apart: it works
on rows of L tokens with a few sentences each, and a mask keeps these from seeing one another.
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

from src.errors import UserError
from src.training.dropout import dropout

PACKED = "packed"


def attend_by_row(
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


AttentionInterface.register(PACKED, attend_by_row)
AttentionMaskInterface.register(PACKED, sdpa_mask)


@contextmanager
def packed_attention(encoder: SentenceTransformer, enabled: bool) -> Iterator[None]:
    """Attend by row for as long as the block lasts.

    Raises:
        UserError: the encoder keeps its own attention, which would mix the sentences of a packed batch.

    """
    transformer = encoder[0].model
    former = transformer.config._attn_implementation
    transformer.set_attn_implementation(PACKED if enabled else former)
    if enabled and transformer.config._attn_implementation != PACKED:  # transformers only warns of it
        raise UserError(
            "trainer.batching=packed: expected an encoder whose attention can be replaced, found"
            f" {type(transformer).__name__}: set trainer=stock."
        )
    try:
        yield
    finally:
        transformer.set_attn_implementation(former)
