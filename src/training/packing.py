"""Sentences of a batch end to end in one sequence: nothing is computed for padding, and both columns share a forward.

The linear layers see the tokens of all sentences as one row of T tokens. Only attention needs them apart: it works on a
padded view (n sentences, L tokens of the longest), which two index tensors of the batch make and undo.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from datasets import Dataset, enable_progress_bars
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from src.training.dropout import dropout

PACKED = "packed"
MANY = 100_000
"""From so many pairs on tokenising takes long enough to be shown."""
COLUMNS = ("sentence1", "sentence2")
TOKENISED: WeakKeyDictionary[Any, tuple[Any, Dataset]] = WeakKeyDictionary()
"""The last tokenised pairs of each tokenizer that is alive, under what they were made from."""


class Pad(torch.autograd.Function):
    """(T, d) → (n, L, d), zeros where a sentence is shorter than the longest."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, positions: Tensor, sentences: int, longest: int) -> Tensor:
        """Place token t at row `positions[t]` of the (n · L, d) view."""
        ctx.save_for_backward(positions)
        padded = tokens.new_zeros(sentences * longest, tokens.shape[1])
        return padded.index_copy_(0, positions, tokens).view(sentences, longest, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Gather the gradients of the tokens; those of the padding are dropped."""
        (positions,) = ctx.saved_tensors
        return gradients[0].flatten(0, 1).index_select(0, positions), None, None, None


class Unpad(torch.autograd.Function):
    """(n, L, d) → (T, d): the inverse of `Pad`."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, positions: Tensor) -> Tensor:
        """Gather the tokens."""
        ctx.save_for_backward(positions)
        ctx.shape = padded.shape
        return padded.flatten(0, 1).index_select(0, positions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Place the gradients of the tokens; the padding gets zeros."""
        (positions,) = ctx.saved_tensors
        sentences, longest, _ = ctx.shape
        padded = gradients[0].new_zeros(sentences * longest, gradients[0].shape[1])
        return padded.index_copy_(0, positions, gradients[0]).view(ctx.shape), None


def packed_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention within each sentence of a packed batch; (1, heads, T, d) → (1, T, heads, d).

    A batch that is not packed (an evaluation) goes to the library's own `sdpa_attention_forward`.
    """
    positions, padding = kwargs.pop("pack_positions", None), kwargs.pop("pack_padding", None)
    if positions is None:
        output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return output
    (sentences, longest), (_, heads, _, size) = padding.shape, query.shape

    def by_sentence(states: Tensor) -> Tensor:
        padded: Tensor = Pad.apply(states[0].transpose(0, 1).flatten(1), positions, sentences, longest)
        return padded.view(sentences, longest, heads, size).transpose(1, 2)

    scores = by_sentence(query * kwargs["scaling"]) @ by_sentence(key).transpose(2, 3)
    weights = scores.masked_fill(padding[:, None, None], float("-inf")).softmax(-1)
    context = dropout(weights, kwargs["dropout"], module.training) @ by_sentence(value)
    return Unpad.apply(context.transpose(1, 2).flatten(2), positions).view(1, -1, heads, size), None


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)


def tokenize(pairs: Dataset, encoder: SentenceTransformer) -> Dataset:
    """Return the pairs as token ids (`sentence1`, `sentence2`: lists of int) with their score; on disk if they are.

    The last result of a tokenizer is kept, for another training on the same pairs in the same process.
    """
    tokenizer, longest = encoder.tokenizer, encoder.max_seq_length
    kept, key = TOKENISED.get(tokenizer), (pairs._fingerprint, len(tokenizer), longest)
    if kept is None or kept[0] != key:
        kept = TOKENISED[tokenizer] = (key, _tokenize(pairs, tokenizer, longest))
    return kept[1]


def _tokenize(pairs: Dataset, tokenizer: Any, longest: int) -> Dataset:
    def ids(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {
            column: tokenizer(batch[column], truncation=True, max_length=longest)["input_ids"] for column in COLUMNS
        }

    if len(pairs) >= MANY:
        enable_progress_bars()
    return pairs.map(ids, batched=True, desc="Tokenising")


class PackedCollator:
    """Turn tokenised pairs into one packed batch: the first sentences of all pairs, then the second ones."""

    valid_label_columns = ("score",)

    def __init__(self, position_offset: int = 0) -> None:
        self.position_offset = position_offset
        """Position of the first token: 0 in BERT, padding index + 1 in the RoBERTa family."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the tensors of the batch, T tokens in n sentences, the longest of L tokens.

        `pairs_input_ids`, `pairs_position_ids` and `pairs_seq_idx` (1, T), `pairs_cu_seq_lens_q` (n + 1),
        `pairs_pack_positions` (T), `pairs_pack_padding` (n, L) and `label` (pairs of the batch).
        """
        sentences = [row[column] for column in COLUMNS for row in rows]
        lengths = torch.tensor([len(ids) for ids in sentences])
        padding = torch.arange(int(lengths.max())) >= lengths[:, None]
        sentence, position = (~padding).nonzero(as_tuple=True)
        return {
            "pairs_input_ids": torch.tensor([token for ids in sentences for token in ids])[None],
            "pairs_position_ids": position[None] + self.position_offset,
            "pairs_seq_idx": sentence[None],
            "pairs_cu_seq_lens_q": torch.nn.functional.pad(lengths.cumsum(0), (1, 0)),
            "pairs_pack_positions": sentence * padding.shape[1] + position,
            "pairs_pack_padding": padding,
            "label": torch.tensor([row["score"] for row in rows]),
        }
