"""Predictions from embeddings: similarities of pairs, and candidates ranked for queries."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

import pyarrow as pa
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import pairwise_cos_sim, semantic_search
from torch import Tensor

from src.config.model import TEXT_COLUMNS
from src.encoder.coverage import TextCoverage
from src.encoder.prompts import prompt_for
from src.packing.encode import encode
from src.prediction.tables import RANKING_SCHEMA, Chunk, scored_schema

SENTENCES = ("sentence1", "sentence2")
ENTRY_BYTES = 250
"""Bytes of a cache entry without its embedding, regardless of the length of the sentence."""
CORPUS_CHUNK = 50_000
"""Candidates compared at a time."""
MAX_HITS = 200_000
"""Ranked candidates in memory at a time."""


class Embedder:
    """Encoder with a least-recently-used cache of embeddings."""

    def __init__(self, encoder: SentenceTransformer, batch_size: int, precision: str, cache_mb: int) -> None:
        """`precision`: fp32 or bf16; `cache_mb`: size of the cache in MiB."""
        self.encoder = encoder
        self.batch_size = batch_size
        self.precision = precision
        self.dimension = int(encoder.get_embedding_dimension())
        self.encoded = 0
        """Number of sentences encoded so far."""
        self.coverage = TextCoverage(encoder)
        """What the encoder does not see of these sentences."""
        self.capacity = cache_mb * 2**20 // (4 * self.dimension + ENTRY_BYTES)
        self.cache = torch.empty(self.capacity, self.dimension)  # occupies memory only where it is filled
        self.slots: OrderedDict[bytes, int] = OrderedDict()
        """Row of the cache for each sentence and its prompt, the least recently used one first."""

    def __call__(self, **columns: Sequence[str]) -> Tensor:
        """Return the embeddings of all texts, with the prompts of their columns: float32, (texts, dimension), CPU."""
        prompts = {name: prompt_for(self.encoder, name) for name in columns}
        prompted = [(prompts[name], text) for name, texts in columns.items() for text in texts]
        positions: dict[tuple[str, str], int] = {}
        rows = [positions.setdefault(each, len(positions)) for each in prompted]
        unique = list(positions)
        keys = [_key(*each) for each in unique]
        cached = [i for i, key in enumerate(keys) if key in self.slots]
        new = [i for i, key in enumerate(keys) if key not in self.slots]
        embeddings = torch.empty(len(unique), self.dimension)
        embeddings[cached] = self.cache[[self.slots[keys[i]] for i in cached]]
        embeddings[new] = self._encode([unique[i] for i in new])
        for i in cached:
            self.slots.move_to_end(keys[i])
        self._store([keys[i] for i in new], embeddings[new])
        return embeddings[rows]

    def _encode(self, prompted: list[tuple[str, str]]) -> Tensor:
        """Return the embeddings of texts, each with its prompt before it."""
        embeddings = torch.empty(len(prompted), self.dimension)
        rows: dict[str, list[int]] = {}
        for row, (prompt, _) in enumerate(prompted):
            rows.setdefault(prompt, []).append(row)
        for prompt, same in rows.items():
            embeddings[same] = self._encode_with(prompt, [prompted[row][1] for row in same])
        return embeddings

    def _encode_with(self, prompt: str, sentences: list[str]) -> Tensor:
        self.encoded += len(sentences)
        return encode(self.encoder, sentences, prompt, self.batch_size, self.precision, self.coverage).cpu()

    def _store(self, keys: list[bytes], embeddings: Tensor) -> None:
        keys, embeddings = keys[: self.capacity], embeddings[: self.capacity]
        for key in keys:
            full = len(self.slots) == self.capacity
            self.slots[key] = self.slots.popitem(last=False)[1] if full else len(self.slots)
        self.cache[[self.slots[key] for key in keys]] = embeddings


def _key(prompt: str, sentence: str) -> bytes:
    """Return a digest of 16 bytes: shorter than most sentences, and long enough to exclude accidental collisions."""
    return blake2b(f"{prompt}\0{sentence}".encode(), digest_size=16).digest()


def score_pairs(chunks: Iterable[Chunk], embed: Embedder, columns: Sequence[str] = SENTENCES) -> Iterator[pa.Table]:
    """Yield each chunk with a new last column: the cosine similarity of its two sentences, -1 to 1.

    They have the prompts of their `columns` if these have names of `TEXT_COLUMNS`, else of sentence1 and sentence2.
    """
    named = len(set(columns)) == 2 and set(columns) <= set(TEXT_COLUMNS)
    one, other = columns if named else SENTENCES
    for chunk in chunks:
        first, second = chunk.texts
        similarities = pairwise_cos_sim(*embed(**{one: first, other: second}).chunk(2)).double().numpy()
        yield pa.table([*chunk.table.columns, similarities], schema=scored_schema(chunk.table.schema))


class Ranker:
    """Ranks candidates, which are in memory with their embeddings: they have the prompt of positives, queries that of
    anchors."""

    def __init__(self, candidates: Iterable[Chunk], embed: Embedder, top_k: int) -> None:
        """`top_k`: candidates for each query, at most the number of all candidates."""
        self.embed = embed
        self.top_k = top_k
        self.candidates: list[str] = []
        embeddings = []
        for chunk in candidates:
            self.candidates += chunk.originals
            embeddings.append(embed(positive=chunk.texts[0]))
        self.embeddings = torch.cat(embeddings)

    def rank(self, queries: Iterable[Chunk]) -> Iterator[pa.Table]:
        """Yield for each query its `top_k` best candidates: query, rank from 1, candidate, cosine similarity."""
        step = max(1, MAX_HITS // self.top_k)
        for chunk in queries:
            originals, texts = chunk.originals, chunk.texts[0]
            for start in range(0, len(texts), step):
                part = slice(start, start + step)
                yield self._rank(originals[part], self.embed(anchor=texts[part]))

    def _rank(self, queries: list[str], embeddings: Tensor) -> pa.Table:
        found = semantic_search(embeddings, self.embeddings, corpus_chunk_size=CORPUS_CHUNK, top_k=self.top_k)
        rows = [
            (query, rank, self.candidates[int(hit["corpus_id"])], hit["score"])
            for query, hits in zip(queries, found, strict=True)
            for rank, hit in enumerate(hits, start=1)
        ]
        return pa.table([list(column) for column in zip(*rows, strict=True)], schema=RANKING_SCHEMA)
