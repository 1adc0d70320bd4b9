"""Retrieval: the ranks of the right answers of each query among all candidates of a split, and the query's metrics."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sentence_transformers.util import normalize_embeddings
from torch import Tensor

from src.evaluation.embedding import Codes, Embedded
from src.evaluation.metrics import ACCURACY, CUTOFF, MRR, NDCG, RECALL, RESOLUTION, TRIPLET, at_dim
from src.evaluation.statistics import Floats

CELLS = 32_000_000
"""Similarities of queries and candidates at a time: 128 MB beyond the embeddings and their normalised copy.

With 100,000 candidates a product of 256 queries is 1.7 times as fast as one of 40.
"""


@dataclass(frozen=True)
class Task:
    """Queries, candidates and right answers of a data set of positives or triplets."""

    queries: Codes
    """Text of each query: the distinct anchors in order of appearance."""
    candidates: Codes
    """Text of each candidate: the distinct positives and negatives in order of appearance."""
    of_row: Codes
    """Query of each row of the data set."""
    right: tuple[Codes, Codes]
    """Query and candidate of each right answer, sorted by both."""

    @classmethod
    def of(cls, columns: dict[str, Codes]) -> Self:
        """Return the task of the columns of a data set: a query's right answers are all positives of its anchor."""
        of_row, queries = pd.factorize(columns["anchor"])
        answers, candidates = pd.factorize(np.concatenate([columns[name] for name in columns if name != "anchor"]))
        right = np.unique(of_row * len(candidates) + answers[: len(of_row)])
        return cls(queries, candidates, of_row, np.divmod(right, len(candidates)))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of right answers of each query."""
        return np.bincount(self.right[0])


@dataclass(frozen=True)
class Ranking:
    """Outcome for each query; candidates of equal similarity are ranked in their order."""

    ranks: Floats
    """Ranks from 1 of the right answers ranked best, shape (queries, `CUTOFF`); infinity for missing ones."""
    best: Codes
    """The right answer ranked best."""
    best_similarity: Floats
    wrong: Codes
    """The wrong candidate ranked best."""
    wrong_similarity: Floats
    """Minus infinity for a query without a wrong candidate."""

    @property
    def defined(self) -> bool:
        """Whether the similarities are finite and not practically equal for all queries and candidates."""
        both = np.concatenate([self.best_similarity, self.wrong_similarity[self.wrong_similarity != -np.inf]])
        return bool(np.ptp(both) > RESOLUTION)


def rank_queries(embedded: Embedded, dims: tuple[int, ...]) -> pd.DataFrame:
    """Return a row for each query with its ranks and metrics, also with embeddings cut to each of `dims`.

    Metrics are NaN if the similarities are not finite or practically equal.
    """
    task = Task.of(embedded.columns)
    found = rank(embedded.vectors, task)
    without = found.wrong_similarity == -np.inf
    table = pd.DataFrame(
        {
            "anchor": embedded.texts[task.queries],
            "positive": embedded.texts[task.candidates[found.best]],
            "rank": found.ranks[:, 0].astype(np.int64),
            "predicted": found.best_similarity,
            "wrong": pd.Series(embedded.texts[task.candidates[found.wrong]]).mask(without, None),
            "predicted_wrong": np.where(without, np.nan, found.wrong_similarity),
            "positives": task.counts,
        }
    )
    return table.assign(
        **_values(found, embedded, task),
        **{
            at_dim(name, dim): value
            for dim in dims
            for name, value in _values(rank(embedded.cut(dim).vectors, task), embedded.cut(dim), task).items()
        },
    )


def _values(found: Ranking, embedded: Embedded, task: Task) -> dict[str, Floats]:
    """Return the metrics of each query by the name of their column, NaN if they are not defined."""
    values = retrieval_values(found.ranks, task.counts) | triplet_values(embedded, task.of_row)
    return values if found.defined else {name: np.full(len(value), np.nan) for name, value in values.items()}


def retrieval_values(ranks: Floats, counts: NDArray[np.int64]) -> dict[str, Floats]:
    """Return the retrieval metrics of each query by name, from the ranks of its right answers and their number."""
    gains = 1 / np.log2(1 + np.arange(1, CUTOFF + 1))
    within = ranks <= CUTOFF
    return {
        NDCG: np.where(within, 1 / np.log2(1 + ranks), 0).sum(axis=1) / gains.cumsum()[np.minimum(counts, CUTOFF) - 1],
        MRR: np.where(within[:, 0], 1 / ranks[:, 0], 0),
        ACCURACY: (ranks[:, 0] == 1).astype(np.float64),
        RECALL: within.sum(axis=1) / counts,
    }


def triplet_values(embedded: Embedded, of_row: Codes) -> dict[str, Floats]:
    """Return the number of each anchor's triplets, one for each negative of a row, and that of the correct ones.

    A triplet is correct if the anchor is more similar to the positive than to the negative. Empty without negatives.
    """
    negatives = [name for name in embedded.columns if name not in ("anchor", "positive")]
    if not negatives:
        return {}
    positive = embedded.similarities("anchor", "positive")
    correct = np.sum([positive > embedded.similarities("anchor", name) for name in negatives], axis=0)
    return {
        TRIPLET.gold: len(negatives) * np.bincount(of_row).astype(np.float64),
        TRIPLET.predicted: np.bincount(of_row, correct).astype(np.float64),
    }


def rank(vectors: Tensor, task: Task) -> Ranking:
    """Return the ranking of the candidates for every query by cosine similarity, some queries at a time."""
    vectors = normalize_embeddings(vectors)
    queries, candidates = (
        vectors[torch.from_numpy(codes).to(vectors.device)] for codes in (task.queries, task.candidates)
    )
    size = min(len(queries), max(1, CELLS // len(candidates)))
    buffer = vectors.new_empty(size, len(candidates))  # of all products: new memory would be cleared each time
    parts = []
    for start in range(0, len(queries), size):
        first, last = np.searchsorted(task.right[0], [start, start + size])
        some = queries[start : start + size]
        scores = torch.mm(some, candidates.T, out=buffer[: len(some)]).cpu().numpy()
        parts.append(_rank_chunk(scores, task.right[0][first:last] - start, task.right[1][first:last]))
    return Ranking(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Ranking)))


def _rank_chunk(scores: NDArray[np.float32], query: Codes, answer: Codes) -> Ranking:
    """Return the ranking for similarities (queries, candidates) with the right answers given, sorted by query."""
    values = scores[query, answer]
    order = np.lexsort((answer, -values, query))
    place = np.arange(len(query)) - np.searchsorted(query, query)
    kept = place < CUTOFF
    cells, answers = (query[kept], place[kept]), answer[order[kept]]
    best, ranks = np.full((len(scores), CUTOFF), -1), np.full((len(scores), CUTOFF), np.inf)
    best[cells] = answers
    ranks[cells] = [_rank_of(one, scores[row]) for row, one in zip(query[kept], answers, strict=True)]
    everyone = np.arange(len(scores))
    best_similarity = scores[everyone, best[:, 0]].astype(np.float64)
    scores[query, answer] = -np.inf
    wrong = scores.argmax(axis=1)
    return Ranking(ranks, best[:, 0], best_similarity, wrong, scores[everyone, wrong].astype(np.float64))


def _rank_of(candidate: int, scores: NDArray[np.float32]) -> int:
    """Return the rank of a candidate from 1, given the similarities of all candidates of a query.

    A query at a time fits the CPU's cache: 4 times as fast with 100,000 candidates as a comparison of all queries.
    """
    own = scores[candidate]
    return int(1 + np.count_nonzero(scores[:candidate] >= own) + np.count_nonzero(scores[candidate:] > own))
