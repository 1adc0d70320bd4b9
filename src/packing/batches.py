"""Packed batches: the tokens of all texts in one sequence, and their places in the bins that attention sees.

The linear layers process the T tokens of a batch as one sequence without padding. Attention sees them in bins of L
tokens, in which whole texts are placed one after another.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.nn.functional import pad

from src.data.shapes import LABELS, text_columns
from src.encoder.prompts import unpooled_for

DATASET_NAME = "dataset_name"
"""Column in which the trainer's rows name their set of a mixture."""
TOKENS = 16
"""T is a multiple of this, as each further T makes the matrix library compile other kernels, 20 ms for a batch."""
BIN_TOKENS = 32
"""L is a multiple of this: the CPU's bf16 softmax takes twice as long a number on odd multiples of 16."""


def pack(lengths: Sequence[int]) -> tuple[list[list[int]], int]:
    """Return the texts of each bin, as indices into `lengths`, and the bin length.

    First-fit decreasing: each text, the longest first, goes into the first bin with room for it.
    """
    width = -(-max(lengths) // BIN_TOKENS) * BIN_TOKENS
    bins: list[list[int]] = []
    rooms: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        number = next((number for number, room in enumerate(rooms) if room >= lengths[index]), len(bins))
        if number == len(bins):
            bins.append([])
            rooms.append(width)
        bins[number].append(index)
        rooms[number] -= lengths[index]
    return bins, width


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

        Columns of texts of which pooling leaves out prompts of different lengths have a sequence for each length, as
        pooling takes one length at a time. Also `label` (rows,) if the examples have scores or labels, and
        `dataset_name` if they are part of a mixture.
        """
        columns = [name for name in text_columns(list(rows[0])) if name != DATASET_NAME]
        groups: dict[int, list[int]] = defaultdict(list)
        for number, column in enumerate(columns):
            groups[self.unpooled(column)].append(number)
        batch: dict[str, Any] = {name: rows[0][name] for name in (DATASET_NAME,) if name in rows[0]}
        for number, (unpooled, group) in enumerate(groups.items()):
            features = self.pack_texts([row[columns[each]] for each in group for row in rows], unpooled)
            features["pack_columns"] = torch.tensor(group).repeat_interleave(len(rows))
            batch |= {f"packed{number}_{name}": values for name, values in features.items()}
        for label in set(LABELS) & set(rows[0]):
            batch["label"] = torch.tensor([row[label] for row in rows])
        return batch

    def pack_texts(self, texts: Sequence[list[int]], unpooled: int) -> dict[str, Tensor]:
        """Return the features of a sequence: T tokens of n texts and perhaps a filler, in s segments.

        `input_ids`, `position_ids` and `seq_idx` (1, T) and `cu_seq_lens_q` (s + 1) describe the sequence. `pack_slots`
        (heads · bins · L) and `pack_rows` (T · heads) are the places of the heads' tokens in the sequence and in the
        bins, `pack_mask` (heads · bins, L, L) is 0 within a segment, minus infinity between two.
        """
        lengths = [len(text) for text in texts]
        filler = -sum(lengths) % TOKENS
        segments = [*texts, texts[0][:1] * filler] if filler else texts
        sizes = torch.tensor([len(segment) for segment in segments])
        starts = pad(sizes.cumsum(0), (1, 0))
        segment_of = torch.arange(len(segments)).repeat_interleave(sizes)
        offsets = torch.arange(len(segment_of)) - starts[segment_of]
        return {
            "input_ids": torch.tensor([token for segment in segments for token in segment])[None],
            # a filler can exceed the encoder's number of positions; its output is discarded
            "position_ids": offsets.clamp(max=max(lengths) - 1)[None] + self.position_offset,
            "seq_idx": segment_of[None],
            "cu_seq_lens_q": starts,
            **self._bins(sizes.tolist(), segment_of, offsets),
            **({"prompt_length": torch.tensor([unpooled])} if unpooled else {}),
        }

    def _bins(self, sizes: list[int], segment_of: Tensor, offsets: Tensor) -> dict[str, Tensor]:
        """Return the features for attention; `segment_of` and `offsets` (T): each token's segment and place in it."""
        bins, width = pack(sizes)
        first_slots = torch.zeros(len(sizes), dtype=torch.int64)
        for number, indices in enumerate(bins):
            lengths = [0, *(sizes[index] for index in indices[:-1])]
            first_slots[indices] = number * width + torch.tensor(lengths).cumsum(0)
        slots = first_slots[segment_of] + offsets
        token_at, segment_at = torch.zeros(len(bins) * width, dtype=torch.int64), torch.full((len(bins) * width,), -1)
        token_at[slots], segment_at[slots] = torch.arange(len(slots)), segment_of
        heads, by_bin = torch.arange(self.heads), segment_at.view(-1, width)
        mask = torch.zeros(len(bins), width, width, dtype=self.dtype)
        mask.masked_fill_(by_bin[:, :, None] != by_bin[:, None], -torch.inf)
        return {
            "pack_slots": (token_at * self.heads + heads[:, None]).flatten(),
            "pack_rows": (slots[:, None] + heads * len(token_at)).flatten(),
            "pack_mask": mask.repeat(self.heads, 1, 1),
        }


def embed_packed(model: Any, sequences: list[dict[str, Tensor]]) -> list[Tensor]:
    """Return the embeddings (rows, dimension) of each column of texts from the features of a packed batch."""
    columns: dict[int, Tensor] = {}
    for features in sequences:
        column_of = features["pack_columns"]  # one number for each text, none for the filler
        numbers = column_of.unique_consecutive().tolist()
        embeddings: Tensor = model(features)["sentence_embedding"][: len(column_of)]
        columns |= zip(numbers, embeddings.chunk(len(numbers)), strict=True)
    return [columns[number] for number in sorted(columns)]
