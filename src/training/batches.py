"""Pairs as token ids, made once, and packed batches of them.

A batch is one row of T tokens, its sentences end to end; attention sees them as n sentences of L tokens each. T and L
are rounded up, because the CPU's matrix library compiles a kernel for each shape it has not met before (2 ms each, a
dozen shapes a batch), and its bf16 softmax is six times slower on some lengths. The few filler tokens lie in the
padding of the view of attention, where nothing attends to them, and count as a sentence of their own, last.
"""

import math
from typing import Any
from weakref import WeakKeyDictionary

import torch
from datasets import Dataset, enable_progress_bars
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.nn.functional import pad

TOKENS = 64
"""T is a multiple of it."""
LENGTH = 16
"""L is a multiple of it."""
MANY = 100_000
"""From so many pairs on tokenising takes long enough to be shown."""
COLUMNS = ("sentence1", "sentence2")
TOKENISED: WeakKeyDictionary[Any, tuple[Any, Dataset]] = WeakKeyDictionary()
"""The last tokenised pairs of each tokenizer that is alive, under what they were made from."""


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

    def __init__(self, heads: int, dtype: torch.dtype, position_offset: int = 0) -> None:
        self.heads = heads
        self.dtype = dtype
        """Number format of the attention."""
        self.position_offset = position_offset
        """Position of the first token: 0 in BERT, padding index + 1 in the RoBERTa family."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the tensors of the batch, T tokens in n sentences, and the fillers as one sentence more.

        `pairs_input_ids`, `pairs_position_ids` and `pairs_seq_idx` (1, T), `pairs_cu_seq_lens_q` (n + 2), `label`
        (pairs of the batch) and what `packed_attention` needs: see `views`.
        """
        sentences = [row[column] for column in COLUMNS for row in rows]
        ids = [token for sentence in sentences for token in sentence]
        lengths = torch.tensor([len(sentence) for sentence in sentences])
        fillers = _round_up(len(ids) + 1, TOKENS) - len(ids)
        owner = torch.arange(len(sentences) + 1).repeat_interleave(pad(lengths, (0, 1), value=fillers))
        starts = pad(lengths.cumsum(0), (1, 0))
        return {
            "pairs_input_ids": torch.tensor(ids + ids[:1] * fillers)[None],
            "pairs_position_ids": (torch.arange(len(owner)) - starts[owner])[None] + self.position_offset,
            "pairs_seq_idx": owner[None],
            "pairs_cu_seq_lens_q": pad(starts, (0, 1), value=len(owner)),
            "label": torch.tensor([row["score"] for row in rows]),
            **{f"pairs_{name}": view for name, view in self.views(lengths, len(owner)).items()},
        }

    def views(self, lengths: Tensor, total: int) -> dict[str, Tensor]:
        """Return how `total` tokens, with sentences of these `lengths` first, lie in the padded view of attention.

        `pack_places` (T · heads): row of each token's head in the view (n · heads · L); `pack_sources`: the reverse;
        `pack_padding` (n · heads, 1, L): what is added to the attention scores, minus infinity for padding.
        """
        count = len(lengths)
        longest = _round_up(max(int(lengths.max()), math.ceil(total / count)), LENGTH)
        padding = torch.arange(longest) >= lengths[:, None]
        free = padding.flatten().nonzero()[: total - int(lengths.sum()), 0]
        slots = torch.cat([(~padding).flatten().nonzero()[:, 0], free])
        heads = torch.arange(self.heads)
        sentence, position = slots // longest, slots % longest
        places = ((sentence[:, None] * self.heads + heads) * longest + position[:, None]).flatten()
        sources = torch.zeros(count * self.heads * longest, dtype=torch.int64)
        masked = torch.zeros(count, 1, 1, longest, dtype=self.dtype).masked_fill_(padding[:, None, None], -math.inf)
        return {
            "pack_places": places,
            "pack_sources": sources.index_copy_(0, places, torch.arange(len(places))),
            "pack_padding": masked.expand(-1, self.heads, 1, -1).flatten(0, 1),
        }


def _round_up(number: int, multiple: int) -> int:
    return math.ceil(number / multiple) * multiple


def embed_packed(model: Any, features: dict[str, Tensor]) -> list[Tensor]:
    """Return the embeddings (pairs, dimension) of both columns of a packed batch, whose names have lost `pairs_`."""
    embeddings: Tensor = model(features)["sentence_embedding"]
    return list(embeddings[:-1].chunk(len(COLUMNS)))
