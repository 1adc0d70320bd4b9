"""A result in one sentence, for the description of a run."""

from math import isnan

from src.data import ExampleSet
from src.evaluation.result import Result
from src.evaluation.statistics import Estimate
from src.report.words import WORDS


def signed(gain: Estimate) -> str:
    """Return a difference as `+0.0040 [+0.0012, +0.0067]`, as `not defined` if it is NaN."""
    return "not defined" if isnan(gain.value) else "{:+.4f} [{:+.4f}, {:+.4f}]".format(*gain)


def describe_result(result: Result, examples: ExampleSet) -> str:
    """Return `Spearman 0.8785 [0.8404, 0.9056] on 255 dev pairs of KLUE-STS (local), 0.7801 before training.`"""
    summary, metric = result.seeds, result.metric
    score = f"{metric.label} {result.leading}"
    if summary and summary.gain_over_seeds:
        gain = f"{signed(summary.gain_over_seeds)} over the mean of their scores"
        score += f", mean of the weights of {summary.count} seeds, {gain},"
    elif summary:
        score = f"{metric.label} {summary.means[metric.name]}, mean of {summary.count} seeds,"
    measured = f"{result.evaluated_pairs:,} {result.evaluated_on} {WORDS[result.shape].unit}"
    source = f"{examples.provenance.name} ({examples.source})"
    before = f"{result.before.value:.4f}{' on dev' if result.evaluated_on != 'dev' else ''} before training"
    return f"{score} on {measured} of {source}, {before}."
