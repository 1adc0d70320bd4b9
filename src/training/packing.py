"""Packed batches: sentences tokenised once, placed end to end in bins of one length, and embedded together.

A batch is one sequence of T tokens that attention sees as bins of L tokens (T = bins · L). A bin holds complete
sentences and, at its end, filler tokens, which count as a segment of their own.
"""

import sys
from typing import Any
from weakref import WeakKeyDictionary

import torch
from datasets import Dataset, disable_progress_bars, enable_progress_bars
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.nn.functional import pad

from src.encoder.coverage import TextCoverage
from src.encoder.inputs import default_prompt, unpooled_prompt

COLUMNS = ("sentence1", "sentence2")
SLOW_TO_TOKENIZE = 100_000
"""Number of pairs from which tokenising shows a progress bar on a terminal."""
BIN_MULTIPLE = 16
"""Bin lengths are multiples of this: the CPU's bf16 softmax is six times slower on other lengths."""
SHORTEST, LONGEST = 64, 128
"""Range of the bin lengths tried, unless a sentence is longer. Shorter bins save next to nothing, and each additional
shape makes the matrix library compile another kernel."""
BREAK_EVEN_LENGTH = 150
"""Approximate bin length at which attention costs as much per token as everything else (384 dimensions)."""

_tokenized: WeakKeyDictionary[Any, tuple[Any, Dataset, TextCoverage]] = WeakKeyDictionary()
"""Cache of the last tokenised pairs for each tokenizer, with a key that identifies their input."""


def tokenize(pairs: Dataset, encoder: SentenceTransformer) -> Dataset:
    """Return the pairs as token ids (`sentence1`, `sentence2`: lists of int) with their score.

    The ids are those of `encoder.encode`, with its default prompt. The last result for each tokenizer is cached, for
    further training runs on the same pairs in this process.
    """
    return tokenize_counted(pairs, encoder)[0]


def tokenize_counted(pairs: Dataset, encoder: SentenceTransformer) -> tuple[Dataset, TextCoverage]:
    """Return the pairs as in `tokenize`, and what the encoder does not see of their texts."""
    tokenizer = encoder.tokenizer
    kept, key = (
        _tokenized.get(tokenizer),
        (
            pairs._fingerprint,
            len(tokenizer),
            encoder.max_seq_length,
            default_prompt(encoder),
        ),
    )
    if kept is None or kept[0] != key:
        kept = _tokenized[tokenizer] = (key, *_tokenize(pairs, encoder))
    return kept[1:]


def _tokenize(pairs: Dataset, encoder: SentenceTransformer) -> tuple[Dataset, TextCoverage]:
    coverage = TextCoverage(encoder)

    def ids(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {column: coverage.cut_ids(batch[column]) for column in COLUMNS}

    visible = len(pairs) >= SLOW_TO_TOKENIZE and sys.stderr.isatty()
    (enable_progress_bars if visible else disable_progress_bars)()
    return pairs.map(ids, batched=True, desc="Tokenising"), coverage


def pack(lengths: list[int]) -> tuple[list[list[int]], int]:
    """Return the cheapest packing: the sentences of each bin, as indices into `lengths`, and the bin length."""
    shortest = max(SHORTEST, -(-max(lengths) // BIN_MULTIPLE) * BIN_MULTIPLE)
    widths = range(shortest, max(shortest, LONGEST) + 1, BIN_MULTIPLE)
    packed = {width: bin_pack(lengths, width) for width in widths}
    cheapest = min(packed, key=lambda width: len(packed[width]) * width * (BREAK_EVEN_LENGTH + width))
    return packed[cheapest], cheapest


def bin_pack(lengths: list[int], width: int) -> list[list[int]]:
    """Return the sentences of each bin: the longest one left, then those that fill the rest of the bin best.

    Rarely needs more than the minimum number of bins (minimum bin slack; Gupta & Ho, 1999).
    """
    remaining: dict[int, list[int]] = {length: [] for length in sorted(lengths, reverse=True)}
    for index, length in enumerate(lengths):
        remaining[length].append(index)
    bins = []
    while remaining:
        longest = next(iter(remaining))
        first, room = remaining[longest].pop(0), width - longest
        # as many of each length as could fit: enough for every sum, and few even in a large batch
        candidates = [index for length, same in remaining.items() for index in same[: room // length]]
        bins.append([first, *largest_subset(candidates, lengths, room)])
        for index in bins[-1][1:]:
            remaining[lengths[index]].remove(index)
        remaining = {length: same for length, same in remaining.items() if same}
    return bins


def largest_subset(candidates: list[int], lengths: list[int], room: int) -> list[int]:
    """Return the candidates with the largest total length that fits into `room`; earlier ones are preferred."""
    sums = [1]  # bit s of sums[n] is set if some of the first n candidates add up to s
    for index in candidates:
        sums.append((sums[-1] | sums[-1] << lengths[index]) & (2 << room) - 1)
        if sums[-1] >> room:
            break
    total = sums[-1].bit_length() - 1
    chosen = []
    for count in range(len(sums) - 1, 0, -1):
        if not sums[count - 1] >> total & 1:  # the total cannot be reached without this candidate
            chosen.append(candidates[count - 1])
            total -= lengths[candidates[count - 1]]
    return chosen


class PackedCollator:
    """Turn tokenised pairs into one packed batch."""

    valid_label_columns = ("score",)

    def __init__(self, heads: int, dtype: torch.dtype, position_offset: int = 0, unpooled: int = 0) -> None:
        self.heads = heads
        self.dtype = dtype
        """Data type of the attention mask and scores."""
        self.position_offset = position_offset
        """Position of the first token: 0 in BERT, padding index + 1 in the RoBERTa family."""
        self.prompt = {"pairs_prompt_length": torch.tensor([unpooled])} if unpooled else {}
        """Number of tokens at the start of each sentence that pooling leaves out, if any."""

    @classmethod
    def for_encoder(cls, encoder: SentenceTransformer, dtype: torch.dtype) -> "PackedCollator":
        """Return the collator for an encoder, with attention in `dtype`."""
        first: Any = encoder[0]
        heads, offset = first.model.config.num_attention_heads, first._infer_flatten_position_offset()
        return cls(heads, dtype, offset, unpooled_prompt(encoder))

    def __call__(self, pairs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the tensors of the batch: T tokens of n sentences and fillers, in s segments.

        `pairs_input_ids`, `pairs_position_ids` and `pairs_seq_idx` (1, T), `pairs_cu_seq_lens_q` (s + 1), `label`
        (pairs), `pairs_pack_order` (n): the segment of each sentence, those of the first column first, and
        `pairs_pack_mask` (heads · bins, L, L): 0 within a segment, minus infinity between two.
        """
        sentences = [pair[column] for column in COLUMNS for pair in pairs]
        bins, width = pack([len(sentence) for sentence in sentences])
        segments: list[list[int]] = []
        order = [0] * len(sentences)
        for indices in bins:
            for index in indices:
                order[index] = len(segments)
                segments.append(sentences[index])
            if room := width - sum(len(sentences[index]) for index in indices):
                segments.append(sentences[0][:1] * room)
        lengths = torch.tensor([len(segment) for segment in segments])
        segment_of = torch.arange(len(segments)).repeat_interleave(lengths)
        starts = pad(lengths.cumsum(0), (1, 0))
        # a filler can exceed the encoder's number of positions; its output is discarded
        positions = (torch.arange(len(segment_of)) - starts[segment_of]).clamp(max=max(map(len, sentences)) - 1)
        by_bin = segment_of.view(-1, width)
        mask = torch.zeros(len(bins), width, width, dtype=self.dtype)
        mask.masked_fill_(by_bin[:, :, None] != by_bin[:, None], -torch.inf)
        return {
            "pairs_input_ids": torch.tensor([token for segment in segments for token in segment])[None],
            "pairs_position_ids": positions[None] + self.position_offset,
            "pairs_seq_idx": segment_of[None],
            "pairs_cu_seq_lens_q": starts,
            "pairs_pack_order": torch.tensor(order),
            "pairs_pack_mask": mask.repeat(self.heads, 1, 1),
            "label": torch.tensor([pair["score"] for pair in pairs]),
            **self.prompt,
        }


def features_of(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the encoder's inputs from a packed batch, as `collect_features` of the trainer extracts them."""
    return {name.removeprefix("pairs_"): values for name, values in batch.items() if name != "label"}


def embed_packed(model: Any, features: dict[str, Tensor]) -> list[Tensor]:
    """Return the embeddings (pairs, dimension) of both columns from the features of a packed batch."""
    embeddings: Tensor = model(features)["sentence_embedding"]
    return list(embeddings[features["pack_order"]].chunk(len(COLUMNS)))
