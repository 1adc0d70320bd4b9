"""Rankings of some queries at a time equal that of all at once, ties included, and take bounded memory."""

from dataclasses import astuple

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from src.evaluation import retrieval
from src.evaluation.retrieval import Task, rank

QUERIES, CANDIDATES = 30, 50


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    """Embeddings with one of five similarities, so that most candidates of a query are equally similar."""
    return torch.randn(QUERIES + CANDIDATES, 4, generator=torch.Generator().manual_seed(1)).sign()


@pytest.fixture(scope="module")
def task() -> Task:
    """One to twenty right answers for each query."""
    rng = np.random.default_rng(2)
    anchors = np.concatenate([np.arange(QUERIES), rng.integers(0, QUERIES, 70), np.zeros(20, dtype=np.int64)])
    positives, negatives = QUERIES + rng.integers(0, CANDIDATES, (2, len(anchors)))
    return Task.of({"anchor": anchors, "positive": positives, "negative": negatives})


@pytest.mark.parametrize("queries", [1, 7, 29])
def test_a_ranking_does_not_depend_on_the_number_of_queries_at_a_time(
    queries: int, vectors: torch.Tensor, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = rank(vectors, task)
    assert np.isfinite(expected.ranks[:, -1]).any()
    sizes: list[int] = []
    rank_chunk = retrieval._rank_chunk
    monkeypatch.setattr(retrieval, "CELLS", queries * len(task.candidates) + 1)
    monkeypatch.setattr(
        retrieval, "_rank_chunk", lambda scores, *right: sizes.append(len(scores)) or rank_chunk(scores, *right)
    )
    for found, value in zip(astuple(rank(vectors, task)), astuple(expected), strict=True):
        assert_array_equal(found, value)
    assert sum(sizes) == QUERIES
    assert max(sizes) == queries


def test_a_rank_counts_better_candidates_and_equal_ones_before_it(vectors: torch.Tensor, task: Task) -> None:
    found = rank(vectors, task)
    for query, text in enumerate(task.queries):
        scores = (vectors[text] @ vectors[task.candidates].T).numpy()
        answers = task.right[1][task.right[0] == query]
        ranks = sorted(1 + (scores > scores[one]).sum() + (scores[:one] == scores[one]).sum() for one in answers)
        assert found.ranks[query][: len(ranks)].tolist() == ranks[:10]
        assert np.isinf(found.ranks[query][len(ranks) :]).all()
