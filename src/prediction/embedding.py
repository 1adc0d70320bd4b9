"""Embeddings of sentences, each sentence encoded once while there is room to remember it."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

PLACE = 250
"""Bytes that a remembered sentence takes beside its embedding, however long it is."""


class Embedder:
    """An encoder with a memory of bounded size: what was asked for longest ago is forgotten first."""

    def __init__(self, encoder: SentenceTransformer, batch_size: int, precision: str, cache_mb: int) -> None:
        """Take the precision, `fp32` or `bf16`, and the room for remembered sentences in MiB."""
        self.encoder = encoder
        self.batch_size = batch_size
        self.bf16 = precision == "bf16"
        self.dimension = int(encoder.get_embedding_dimension())
        self.encoded = 0
        """Sentences that went through the encoder so far."""
        self.capacity = cache_mb * 2**20 // (4 * self.dimension + PLACE)
        self.kept = torch.empty(self.capacity, self.dimension)  # takes memory only as it is filled
        self.places: OrderedDict[bytes, int] = OrderedDict()

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """Return the embeddings, float32 of shape (sentences, dimension) on the CPU."""
        numbers: dict[str, int] = {}
        rows = [numbers.setdefault(sentence, len(numbers)) for sentence in sentences]
        different = list(numbers)
        keys = [_key(sentence) for sentence in different]
        known = [number for number, key in enumerate(keys) if key in self.places]
        new = [number for number, key in enumerate(keys) if key not in self.places]
        embeddings = torch.empty(len(different), self.dimension)
        embeddings[known] = self.kept[[self.places[keys[number]] for number in known]]
        embeddings[new] = self._encode([different[number] for number in new])
        for number in known:
            self.places.move_to_end(keys[number])
        self._keep([keys[number] for number in new], embeddings[new])
        return embeddings[rows]

    def _encode(self, sentences: list[str]) -> Tensor:
        if not sentences:
            return torch.empty(0, self.dimension)
        self.encoded += len(sentences)
        with torch.autocast(self.encoder.device.type, torch.bfloat16, enabled=self.bf16):
            embeddings: Tensor = self.encoder.encode(
                sentences, batch_size=self.batch_size, convert_to_tensor=True, show_progress_bar=False
            )
        return embeddings.float().cpu()

    def _keep(self, keys: list[bytes], embeddings: Tensor) -> None:
        keys, embeddings = keys[: self.capacity], embeddings[: self.capacity]
        for key in keys:
            full = len(self.places) == self.capacity
            self.places[key] = self.places.popitem(last=False)[1] if full else len(self.places)
        self.kept[[self.places[key] for key in keys]] = embeddings


def _key(sentence: str) -> bytes:
    """Return a digest: unlike the sentence it is short, and at 16 bytes no two sentences share one by accident."""
    return blake2b(sentence.encode(), digest_size=16).digest()
