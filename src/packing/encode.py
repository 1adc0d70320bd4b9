"""Embeddings of texts computed in packed batches, for evaluation and prediction."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TypeVar

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from src.encoder.coverage import TextCoverage
from src.encoder.inputs import transformer_of
from src.encoder.prompts import unpooled_with
from src.packing.attention import packed_attention
from src.packing.batches import PackedCollator
from src.packing.check import is_packable

T = TypeVar("T")


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
    counted = coverage or (TextCoverage(encoder) if transformer_of(encoder) else None)
    ids, unpooled = counted.cut_ids(texts, prompt) if counted else [], unpooled_with(encoder, prompt)
    if is_packable(encoder, ids, unpooled):
        return _encode_packed(encoder, ids, unpooled, batch_size, precision)
    with _autocast(encoder, precision):
        found: Tensor = encoder.encode(
            list(texts), prompt=prompt, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
        )
    return found.float()


def _autocast(encoder: SentenceTransformer, precision: str) -> torch.autocast:
    return torch.autocast(encoder.device.type, torch.bfloat16, enabled=precision == "bf16")


def _encode_packed(
    encoder: SentenceTransformer, ids: list[list[int]], unpooled: int, batch_size: int, precision: str
) -> Tensor:
    collator = PackedCollator.for_encoder(encoder, torch.bfloat16 if precision == "bf16" else torch.float32)
    passes = list(_passes([len(tokens) for tokens in ids], batch_size))
    left = iter(passes)

    @torch.no_grad()
    def take_passes() -> list[tuple[list[int], Tensor]]:
        found = []
        with _autocast(encoder, precision):
            for rows in left:
                features = collator.pack_texts([ids[row] for row in rows], unpooled)
                moved = {name: values.to(encoder.device) for name, values in features.items()}
                embeddings = encoder(moved)["sentence_embedding"][: len(rows), : encoder.truncate_dim]
                found.append((rows, embeddings.float()))
        return found

    with packed_attention(encoder, True):
        done = _in_threads(take_passes, len(passes)) if encoder.device.type == "cpu" else take_passes()
    order = torch.tensor([row for rows, _ in done for row in rows])
    return torch.cat([embeddings for _, embeddings in done])[order.argsort().to(encoder.device)]


def _in_threads(work: Callable[[], list[T]], most: int) -> list[T]:
    """Return what `work` returns in several threads, at most `most`, among which torch's threads are divided.

    Two passes at a time with a thread each take 5 % less time in fp32 than one after the other with two threads, and
    10 % less in bf16: only products use two threads fully.
    """
    cores = torch.get_num_threads()
    threads = min(cores, most)
    if threads == 1:
        return work()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(cores // threads,)) as pool:
            futures = [pool.submit(work) for _ in range(threads)]
            return [each for future in futures for each in future.result()]
    finally:
        torch.set_num_threads(cores)


def _passes(lengths: list[int], batch_size: int) -> Iterator[list[int]]:
    """Yield the texts of each forward pass, the longest first: about as many tokens as `batch_size` average texts have.

    Passes of an equal number of tokens need the same few kernels of the matrix library.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    ordered = np.array(lengths)[order]
    numbers = (ordered.cumsum() - ordered) // (batch_size * ordered.mean())
    for _, rows in groupby(zip(order, numbers, strict=True), key=lambda each: each[1]):
        yield [row for row, _ in rows]
