"""Pairs as token ids, made once, and packed batches of them.

A batch is one sequence of T tokens that attention sees as rows of L tokens (T = rows · L). A row holds whole sentences
and, at its end, fillers, which count as a sentence of their own.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from datasets import Dataset, enable_progress_bars
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.nn.functional import pad

from src.training.rows import pack

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
    # what else a tokenizer returns by itself takes as long to convert as the ids
    lean = {"return_attention_mask": False, "return_token_type_ids": False, "truncation": True, "max_length": longest}

    def ids(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {column: tokenizer(batch[column], **lean)["input_ids"] for column in COLUMNS}

    if len(pairs) >= MANY:
        enable_progress_bars()
    return pairs.map(ids, batched=True, desc="Tokenising")


class PackedCollator:
    """Turn tokenised pairs into one packed batch."""

    valid_label_columns = ("score",)

    def __init__(self, heads: int, dtype: torch.dtype, position_offset: int = 0) -> None:
        self.heads = heads
        self.dtype = dtype
        """Number format of the attention."""
        self.position_offset = position_offset
        """Position of the first token: 0 in BERT, padding index + 1 in the RoBERTa family."""

    @classmethod
    def of(cls, encoder: SentenceTransformer, dtype: torch.dtype) -> "PackedCollator":
        """Return the collator for an encoder."""
        first: Any = encoder[0]
        return cls(first.model.config.num_attention_heads, dtype, first._infer_flatten_position_offset())

    def __call__(self, pairs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the tensors of the batch: T tokens of n sentences and fillers, which make s segments.

        `pairs_input_ids`, `pairs_position_ids` and `pairs_seq_idx` (1, T), `pairs_cu_seq_lens_q` (s + 1), `label`
        (pairs), `pairs_pack_order` (n): the segment of each sentence, those of the first column first, and
        `pairs_pack_mask` (heads · rows, L, L): 0 within a segment, minus infinity between two.
        """
        sentences = [pair[column] for column in COLUMNS for pair in pairs]
        rows, width = pack([len(sentence) for sentence in sentences])
        segments: list[list[int]] = []
        order = [0] * len(sentences)
        for row in rows:
            for index in row:
                order[index] = len(segments)
                segments.append(sentences[index])
            if room := width - sum(len(sentences[index]) for index in row):
                segments.append(sentences[0][:1] * room)
        lengths = torch.tensor([len(segment) for segment in segments])
        owner = torch.arange(len(segments)).repeat_interleave(lengths)
        starts = pad(lengths.cumsum(0), (1, 0))
        # fillers may be more than an encoder has positions; what becomes of them is thrown away
        positions = (torch.arange(len(owner)) - starts[owner]).clamp(max=max(map(len, sentences)) - 1)
        own = owner.view(-1, width)
        mask = torch.zeros(len(rows), width, width, dtype=self.dtype)
        return {
            "pairs_input_ids": torch.tensor([token for segment in segments for token in segment])[None],
            "pairs_position_ids": positions[None] + self.position_offset,
            "pairs_seq_idx": owner[None],
            "pairs_cu_seq_lens_q": starts,
            "pairs_pack_order": torch.tensor(order),
            "pairs_pack_mask": mask.masked_fill_(own[:, :, None] != own[:, None], -torch.inf).repeat(self.heads, 1, 1),
            "label": torch.tensor([pair["score"] for pair in pairs]),
        }


def features_of(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what the encoder is given of a packed batch, as the trainer of sentence-transformers takes it apart."""
    return {name.removeprefix("pairs_"): values for name, values in batch.items() if name != "label"}


def embed_packed(model: Any, features: dict[str, Tensor]) -> list[Tensor]:
    """Return the embeddings (pairs, dimension) of both columns of a packed batch, whose names have lost `pairs_`."""
    embeddings: Tensor = model(features)["sentence_embedding"]
    return list(embeddings[features["pack_order"]].chunk(len(COLUMNS)))
