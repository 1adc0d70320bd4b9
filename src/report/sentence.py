"""A result in one sentence, for the description of a run."""

from src.data import ExampleSet
from src.evaluation.metrics import SPEARMAN
from src.evaluation.result import Result


def describe_result(result: Result, pairs: ExampleSet) -> str:
    """Return `Spearman 0.8785 [0.8404, 0.9056] on 255 dev pairs of KLUE-STS (local), 0.7801 before training.`"""
    summary = result.seeds
    score = f"Spearman {result.leading}"
    if summary:
        score = f"Spearman {summary.means[SPEARMAN]}, mean of {len(summary.seeds.split())} seeds,"
    measured = f"{result.evaluated_pairs:,} {result.evaluated_on} pairs of {pairs.provenance.name} ({pairs.source})"
    before = f"{result.before.value:.4f}{' on dev' if result.evaluated_on != 'dev' else ''} before training"
    return f"{score} on {measured}, {before}."
