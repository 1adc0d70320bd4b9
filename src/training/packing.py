"""Packed batches: sentences tokenised once, placed end to end in bins of one length, and embedded together.

A batch is one sequence of T tokens that attention sees as bins of L tokens (T = bins · L). A bin holds complete
sentences and, at its end, filler tokens, which count as a segment of their own. Columns of texts of which pooling
leaves out prompts of different lengths have a sequence for each length: pooling takes one length at a time.
"""

import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from datasets import Dataset, disable_progress_bars, enable_progress_bars
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.nn.functional import pad

from src.data.shapes import LABELS, text_columns
from src.encoder.coverage import TextCoverage
from src.encoder.prompts import prompt_for, unpooled_for

DATASET_NAME = "dataset_name"
"""Column in which the trainer's rows name their set of a mixture."""
SLOW_TO_TOKENIZE = 100_000
"""Number of examples from which tokenising shows a progress bar on a terminal."""
BIN_MULTIPLE = 16
"""Bin lengths are multiples of this: the CPU's bf16 softmax is six times slower on other lengths."""
SHORTEST, LONGEST = 64, 128
"""Range of the bin lengths tried, unless a sentence is longer. Shorter bins save next to nothing, and each additional
shape makes the matrix library compile another kernel."""
BREAK_EVEN_LENGTH = 150
"""Approximate bin length at which attention costs as much per token as everything else (384 dimensions)."""

_tokenized: WeakKeyDictionary[Dataset, tuple[Any, Dataset, TextCoverage]] = WeakKeyDictionary()
"""Cache of the last token ids of each data set, with a key that identifies what turned its texts into them."""


def tokenize(examples: Dataset, encoder: SentenceTransformer) -> Dataset:
    """Return the examples with token ids (lists of int) in place of texts.

    The ids are those of `encoder.encode`, with the prompt of each column. The last result for each data set is cached,
    for further training runs on the same examples in this process.
    """
    return tokenize_counted(examples, encoder)[0]


def tokenize_counted(examples: Dataset, encoder: SentenceTransformer) -> tuple[Dataset, TextCoverage]:
    """Return the examples as in `tokenize`, and what the encoder does not see of their texts."""
    tokenizer = encoder.tokenizer
    prompts = {column: prompt_for(encoder, column) for column in text_columns(examples.column_names)}
    kept, key = _tokenized.get(examples), (len(tokenizer), encoder.max_seq_length, prompts)
    if kept is None or kept[0] != key or kept[2].tokenizer is not tokenizer:
        kept = _tokenized[examples] = (key, *_tokenize(examples, encoder, prompts))
    return kept[1:]


def _tokenize(examples: Dataset, encoder: SentenceTransformer, prompts: dict[str, str]) -> tuple[Dataset, TextCoverage]:
    coverage = TextCoverage(encoder)

    def ids(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {column: coverage.cut_ids(batch[column], prompt) for column, prompt in prompts.items()}

    visible = len(examples) >= SLOW_TO_TOKENIZE and sys.stderr.isatty()
    (enable_progress_bars if visible else disable_progress_bars)()
    return examples.map(ids, batched=True, desc="Tokenising"), coverage


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
    """Turn tokenised examples into a packed batch."""

    def __init__(
        self,
        heads: int,
        dtype: torch.dtype,
        position_offset: int = 0,
        unpooled: Callable[[str], int] = lambda column: 0,
    ) -> None:
        self.heads = heads
        self.dtype = dtype
        """Data type of the attention mask and scores."""
        self.position_offset = position_offset
        """Position of the first token: 0 in BERT, padding index + 1 in the RoBERTa family."""
        self.unpooled = unpooled
        """Number of tokens at the start of each text of a column that pooling leaves out."""

    @classmethod
    def for_encoder(cls, encoder: SentenceTransformer, dtype: torch.dtype) -> "PackedCollator":
        """Return the collator for an encoder, with attention in `dtype`."""
        first: Any = encoder[0]
        heads, offset = first.model.config.num_attention_heads, first._infer_flatten_position_offset()
        return cls(heads, dtype, offset, partial(unpooled_for, encoder))

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch: the tensors of `pack_texts` for each sequence, as `packed0_…`, `packed1_…`.

        Also `label` (rows,) if the examples have scores or labels, and `dataset_name` if they are part of a mixture.
        """
        columns = [name for name in text_columns(list(rows[0])) if name != DATASET_NAME]
        groups: dict[int, list[int]] = defaultdict(list)
        for number, column in enumerate(columns):
            groups[self.unpooled(column)].append(number)
        batch: dict[str, Any] = {name: rows[0][name] for name in (DATASET_NAME,) if name in rows[0]}
        for number, (unpooled, group) in enumerate(groups.items()):
            features = self.pack_texts([row[columns[each]] for each in group for row in rows], unpooled)
            features["pack_columns"] = torch.tensor(group)
            batch |= {f"packed{number}_{name}": values for name, values in features.items()}
        for label in set(LABELS) & set(rows[0]):
            batch["label"] = torch.tensor([row[label] for row in rows])
        return batch

    def pack_texts(self, texts: list[list[int]], unpooled: int) -> dict[str, Tensor]:
        """Return the features of a sequence: T tokens of n texts and fillers, in s segments.

        `input_ids`, `position_ids` and `seq_idx` (1, T), `cu_seq_lens_q` (s + 1), `pack_order` (n): the segment of each
        text, and `pack_mask` (heads · bins, L, L): 0 within a segment, minus infinity between two.
        """
        bins, width = pack([len(text) for text in texts])
        segments: list[list[int]] = []
        order = [0] * len(texts)
        for indices in bins:
            for index in indices:
                order[index] = len(segments)
                segments.append(texts[index])
            if room := width - sum(len(texts[index]) for index in indices):
                segments.append(texts[0][:1] * room)
        lengths = torch.tensor([len(segment) for segment in segments])
        segment_of = torch.arange(len(segments)).repeat_interleave(lengths)
        starts = pad(lengths.cumsum(0), (1, 0))
        # a filler can exceed the encoder's number of positions; its output is discarded
        positions = (torch.arange(len(segment_of)) - starts[segment_of]).clamp(max=max(map(len, texts)) - 1)
        by_bin = segment_of.view(-1, width)
        mask = torch.zeros(len(bins), width, width, dtype=self.dtype)
        mask.masked_fill_(by_bin[:, :, None] != by_bin[:, None], -torch.inf)
        return {
            "input_ids": torch.tensor([token for segment in segments for token in segment])[None],
            "position_ids": positions[None] + self.position_offset,
            "seq_idx": segment_of[None],
            "cu_seq_lens_q": starts,
            "pack_order": torch.tensor(order),
            "pack_mask": mask.repeat(self.heads, 1, 1),
            **({"prompt_length": torch.tensor([unpooled])} if unpooled else {}),
        }


def features_of(batch: dict[str, Any]) -> list[dict[str, Tensor]]:
    """Return the encoder's inputs from a packed batch, as `collect_features` of the trainer extracts them."""
    prefixes = [name.removesuffix("input_ids") for name in batch if name.endswith("_input_ids")]
    return [
        {name.removeprefix(prefix): values for name, values in batch.items() if name.startswith(prefix)}
        for prefix in prefixes
    ]


def embed_packed(model: Any, sequences: list[dict[str, Tensor]]) -> list[Tensor]:
    """Return the embeddings (rows, dimension) of each column of texts from the features of a packed batch."""
    columns: dict[int, Tensor] = {}
    for features in sequences:
        embeddings: Tensor = model(features)["sentence_embedding"]
        numbers = features["pack_columns"].tolist()
        columns |= zip(numbers, embeddings[features["pack_order"]].chunk(len(numbers)), strict=True)
    return [columns[number] for number in sorted(columns)]
