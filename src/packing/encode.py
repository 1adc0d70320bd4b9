"""Embeddings of texts computed in packed batches, for evaluation and prediction."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from weakref import WeakKeyDictionary

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from src.encoder.coverage import TextCoverage
from src.encoder.inputs import transformer_of
from src.encoder.prompts import unpooled_with
from src.packing.attention import is_packable, packed_attention
from src.packing.batches import PackedCollator

_packable: WeakKeyDictionary[SentenceTransformer, tuple[int, bool]] = WeakKeyDictionary()
"""For each encoder the longest text checked, and whether packed texts had the embeddings of padded ones."""


@torch.no_grad()
def encode(
    encoder: SentenceTransformer,
    texts: Sequence[str],
    prompt: str,
    batch_size: int,
    precision: str,
    coverage: TextCoverage | None = None,
) -> Tensor:
    """Return the embeddings of texts, each with the prompt before it: float32, (texts, dimension), encoder's device.

    They are those of `encoder.encode`, up to rounding; an encoder that cannot be packed is encoded by it. `batch_size`:
    texts in a forward pass on average; `precision`: fp32 or bf16; `coverage` counts what the encoder does not see.
    Leaves the encoder in evaluation mode.
    """
    encoder.eval()
    if not texts:
        return torch.empty(0, encoder.get_embedding_dimension(), device=encoder.device)
    ids = (coverage or TextCoverage(encoder)).cut_ids(texts, prompt)
    unpooled = unpooled_with(encoder, prompt)
    packed = _is_packable(encoder, ids, unpooled)
    with torch.autocast(encoder.device.type, torch.bfloat16, enabled=precision == "bf16"):
        if packed:
            return _encode_packed(encoder, ids, unpooled, batch_size, precision)
        found: Tensor = encoder.encode(
            list(texts), prompt=prompt, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
        )
    return found.float()


def _is_packable(encoder: SentenceTransformer, ids: list[list[int]], unpooled: int) -> bool:
    """Return whether packing keeps the embeddings, checked again for a longer text than any before."""
    longest, packable = max(map(len, ids)), transformer_of(encoder) is not None
    checked, former = _packable.get(encoder, (0, True))
    if packable and former and longest > checked:
        _packable[encoder] = longest, is_packable(encoder, ids, unpooled)
    return packable and _packable[encoder][1]


def _encode_packed(
    encoder: SentenceTransformer, ids: list[list[int]], unpooled: int, batch_size: int, precision: str
) -> Tensor:
    collator = PackedCollator.for_encoder(encoder, torch.bfloat16 if precision == "bf16" else torch.float32)
    order, parts = [], []
    with packed_attention(encoder, True):
        for rows in _passes([len(tokens) for tokens in ids], batch_size):
            features = collator.pack_texts([ids[row] for row in rows], unpooled)
            moved = {name: values.to(encoder.device) for name, values in features.items()}
            parts.append(encoder(moved)["sentence_embedding"][: len(rows), : encoder.truncate_dim].float())
            order += rows
    return torch.cat(parts)[torch.tensor(order).argsort().to(encoder.device)]


def _passes(lengths: list[int], batch_size: int) -> Iterator[list[int]]:
    """Yield the texts of each forward pass, the longest first: about as many tokens as `batch_size` average texts have.

    Passes of an equal number of tokens need the same few kernels of the matrix library.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    before = np.cumsum([lengths[row] for row in order]) - lengths[order[0]]
    numbers = before // (batch_size * np.mean(lengths))
    for _, rows in groupby(zip(order, numbers, strict=True), key=lambda each: each[1]):
        yield [row for row, _ in rows]
