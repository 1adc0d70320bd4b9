"""A result in one sentence, for the description of a run."""

from src.data import ExampleSet
from src.evaluation.result import Result
from src.report.words import WORDS


def describe_result(result: Result, examples: ExampleSet) -> str:
    """Return `Spearman 0.8785 [0.8404, 0.9056] on 255 dev pairs of KLUE-STS (local), 0.7801 before training.`"""
    summary, metric = result.seeds, result.metric
    score = f"{metric.label} {result.leading}"
    if summary:
        score = f"{metric.label} {summary.means[metric.name]}, mean of {len(summary.seeds.split())} seeds,"
    measured = f"{result.evaluated_pairs:,} {result.evaluated_on} {WORDS[result.shape].unit}"
    source = f"{examples.provenance.name} ({examples.source})"
    before = f"{result.before.value:.4f}{' on dev' if result.evaluated_on != 'dev' else ''} before training"
    return f"{score} on {measured} of {source}, {before}."
