"""CPU time and memory of ranking, intervals and tests on a large evaluation set, each part in a process of its own.

    python -m src.benchmark.scale

ranks 100,000 candidates for each of 100,000 queries, and searches for some of the queries with the library's
`semantic_search` (`--searched 100000`: for all). The embeddings are random, with each query near its right answer.
Then it computes what an evaluation of 100,000 pairs or queries reports of two models: the intervals of all metrics of
both, and of the gain in the leading one with its p-value. All parts use one thread, so that seconds can be compared.
"""

import os
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import nan
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from src.cli import Parser, parser_command
from src.utils.console import console, log_table
from src.utils.environment import peak_memory_mb

SEED = 42
SHAPES = ("scored", "labelled", "positives")
STEPS = ("intervals", "gain", "permutations")
NOISE = 3.5
"""Factor of the noise in a query's embedding: in 384 dimensions about 70 % of 100,000 queries rank the right one first.
"""

Part = Callable[[], str]
"""A computation to measure, which returns its outcome in words."""


class Cost(NamedTuple):
    """Cost of a part, and its outcome."""

    seconds: float
    """CPU time."""
    peak_mb: float
    """Peak memory of the process, libraries and data included."""
    outcome: str


def ranking(queries: int, dim: int) -> Part:
    """Return the ranking of as many candidates for each query, with the metrics of an evaluation."""
    from src.evaluation.embedding import Embedded  # imports torch, here and below: only where a part is measured
    from src.evaluation.retrieval import rank_queries

    texts, rows = np.arange(2 * queries).astype(str).astype(object), np.arange(queries)
    embedded = Embedded(texts, planted(queries, dim), {"anchor": rows, "positive": rows + queries})
    return lambda: f"{(rank_queries(embedded, ())['rank'] == 1).mean():.2%} of right answers first"


def search(queries: int, dim: int, searched: int) -> Part:
    """Return the library's search for the first `searched` queries, of as many candidates as the metrics need."""
    from sentence_transformers.util import semantic_search

    from src.evaluation.metrics import CUTOFF

    vectors = planted(queries, dim)

    def found() -> str:
        hits = semantic_search(vectors[:searched], vectors[queries:], top_k=CUTOFF)
        first = [best["corpus_id"] == query for query, (best, *_) in enumerate(hits)]
        return f"{np.mean(first):.2%} of right answers first, seconds extrapolated from {searched:,} queries"

    return found


def planted(queries: int, dim: int) -> Any:
    """Return random embeddings of the queries, then those of their right answers, shape (2 * queries, dim)."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    vectors = torch.randn(2 * queries, dim, generator=generator)
    vectors[:queries].mul_(NOISE).add_(vectors[queries:])
    return vectors


def report(step: str, shape: str, rows: int) -> Part:
    """Return a step of what an evaluation of two models reports on examples of a shape."""
    from src.evaluation.evaluate import Evaluation, estimates, paired_gain
    from src.evaluation.metrics import leading_metric, metrics_of
    from src.evaluation.permutation import permutation_p_value

    metric, tables = leading_metric(shape), predictions(shape, rows)
    values = [{each.name: each.compute(table) for each in metrics_of(shape)} for table in tables]
    before, after = (Evaluation(shape, each, nan, table) for each, table in zip(values, tables, strict=True))
    (gold, first), (_, second) = map(metric.values, tables)
    steps: dict[str, Part] = {
        "intervals": lambda: (
            f"{metric.label} " + " and ".join(str(estimates(each, SEED)[metric.name]) for each in (before, after))
        ),
        "gain": lambda: str(paired_gain(before, after, SEED)),
        "permutations": lambda: f"p = {permutation_p_value(metric, gold, first, second, SEED):.4f}",
    }
    return steps[step]


def predictions(shape: str, rows: int) -> list[pd.DataFrame]:
    """Return the predictions of two models that share a part of their errors; the second is a little better."""
    from src.evaluation.retrieval import retrieval_values

    rng = np.random.default_rng(SEED)
    gold, shared = rng.integers(0, 51, rows) / 50, rng.normal(size=rows)
    errors = [scale * (shared + rng.normal(size=rows)) for scale in (0.202, 0.2)]
    if shape == "positives":
        ranks = [1 + np.floor(5 * np.abs(error))[:, None] for error in errors]
        return [pd.DataFrame(retrieval_values(each, np.ones(rows, dtype=np.int64))) for each in ranks]
    values = (gold > 0.5).astype(np.float64) if shape == "labelled" else gold
    return [pd.DataFrame({"gold": values, "predicted": gold + error}) for error in errors]


def measure(prepare: Callable[[], Part], factor: float = 1.0) -> Cost:
    """Return the cost of a part in this process, its seconds without imports and data and multiplied by `factor`."""
    part = prepare()
    start = time.process_time()
    outcome = part()
    return Cost(factor * (time.process_time() - start), peak_memory_mb(), outcome)


def parts(pairs: int, queries: int, dim: int, searched: int) -> dict[str, Callable[[], Cost]]:
    """Return all parts by name, to be measured when they are called."""
    searched = min(searched, queries)
    return {
        "ranking": partial(measure, partial(ranking, queries, dim)),
        "semantic_search": partial(measure, partial(search, queries, dim, searched), queries / searched),
        **{
            f"{step}, {shape}": partial(measure, partial(report, step, shape, pairs))
            for shape in SHAPES
            for step in STEPS
        },
    }


def run(pairs: int, queries: int, dim: int, searched: int) -> None:
    """Measure all parts, one after the other, and print their costs."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of torch and NumPy in the new processes
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool, console.status("Measuring"):
        costs = {name: pool.submit(part) for name, part in parts(pairs, queries, dim, searched).items()}
    rows = {name: "{:,.1f} s, {:,.0f} MB, {}".format(*cost.result()) for name, cost in costs.items()}
    log_table(f"{queries:,} queries of {dim} dimensions, {pairs:,} evaluated pairs", rows)


def parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser("python -m src.benchmark.scale", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000, help="evaluated pairs (default: 100000)")
    parser.add_argument("--queries", type=int, default=100_000, help="queries, and candidates (default: 100000)")
    parser.add_argument("--dim", type=int, default=384, help="dimensions of the embeddings (default: 384)")
    parser.add_argument("--searched", type=int, default=5000, help="queries of the library's search (default: 5000)")
    return parser


if __name__ == "__main__":
    parser_command(run, parser())()
