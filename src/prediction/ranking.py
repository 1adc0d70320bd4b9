"""Candidates ranked for queries by the cosine of their embeddings."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import torch
from sentence_transformers.util import semantic_search
from torch import Tensor

from src.data.columns import Columns, shown
from src.errors import UserError
from src.prediction.embedding import Embedder
from src.prediction.tables import Choose, Piece

DEFAULTS = ("text", "sentence1")
"""Text columns that need not be named, in this order."""
SCHEMA = pa.schema([("query", pa.string()), ("rank", pa.int64()), ("candidate", pa.string()), ("score", pa.float64())])
CHUNK = 50_000
"""Candidates compared at a time."""
HITS = 200_000
"""Answers held at a time."""


def text_column(key: str, column: str | None) -> Choose:
    """Return what finds the text column: the one named, else the only one, else `text`, else `sentence1`.

    `key` is what names it on the command line.
    """

    def choose(where: str, names: Sequence[str]) -> Sequence[str]:
        known = [name for name in DEFAULTS if name in names]
        name = column or (names[0] if len(names) == 1 else next(iter(known), None))
        if name is None:
            raise UserError(
                f"{where}: expected one column or one of {list(DEFAULTS)}, found {shown(list(names))}:"
                f" set {key}=COLUMN."
            )
        Columns(name, name, score=name, rename=f"rename the column or set {key}=COLUMN").require(names, where)
        return (name,)

    return choose


def check_top_k(top_k: int, candidates: int) -> None:
    """Raise `UserError` where more candidates are asked for than there are."""
    if top_k > candidates:
        raise UserError(f"top_k must be at most the number of candidates, {candidates:,}, found {top_k:,}: lower it.")


def embed_candidates(pieces: Iterable[Piece], embed: Embedder) -> tuple[list[str], Tensor]:
    """Return all candidates with their embeddings (candidates, dimension); both stay in memory."""
    texts: list[str] = []
    embeddings = []
    for piece in pieces:
        texts += _as_written(piece)
        embeddings.append(embed(piece.texts[0]))
    return texts, torch.cat(embeddings)


def ranked(
    queries: Iterable[Piece], candidates: list[str], embeddings: Tensor, embed: Embedder, top_k: int
) -> Iterator[pa.Table]:
    """Yield for each query its `top_k` best candidates, best first: query, rank from 1, candidate, cosine score.

    `embeddings` (candidates, dimension) are those of the candidates.
    """
    step = max(1, HITS // top_k)
    for piece in queries:
        for start in range(0, piece.table.num_rows, step):
            texts, asked = (column[start : start + step] for column in (_as_written(piece), piece.texts[0]))
            found = semantic_search(embed(asked), embeddings, corpus_chunk_size=CHUNK, top_k=top_k)
            rows = [
                (query, rank, candidates[int(hit["corpus_id"])], hit["score"])
                for query, hits in zip(texts, found, strict=True)
                for rank, hit in enumerate(hits, start=1)
            ]
            yield pa.table([list(column) for column in zip(*rows, strict=True)], schema=SCHEMA)


def _as_written(piece: Piece) -> list[str]:
    return list(piece.table[piece.columns[0]].to_pylist())
