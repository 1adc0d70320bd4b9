"""Paired differences between a model and others on each set, with Holm's correction over all of them, and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from src.comparison.differences import is_significant
from src.evaluation.evaluate import Evaluation, paired_gain
from src.evaluation.metrics import leading_metric
from src.evaluation.permutation import permutation_p_value
from src.evaluation.statistics import Estimate, holm

GAIN, REGRESSION, NO_DIFFERENCE = "gain", "regression", "no difference shown"


@dataclass(frozen=True)
class Verdict:
    """The leading metric of the model minus that of another on one set."""

    set: str
    other: str
    estimate: Estimate
    """With its paired 95 % interval."""
    p_value: float
    """Two-sided, of a permutation test, corrected for all differences of the evaluation (Holm)."""

    @property
    def word(self) -> str:
        """Gain or regression if both the interval and the corrected p-value show a difference."""
        if not is_significant(self.estimate, self.p_value):
            return NO_DIFFERENCE
        return GAIN if self.estimate.value > 0 else REGRESSION


Scored = Mapping[str, Mapping[str, Evaluation]]
"""Evaluations by model and set."""


def verdicts(scored: Scored, sets: Sequence[str], seed: int) -> list[Verdict]:
    """Return the verdict on each set against each model but the first; `seed`: that of bootstrap and permutations."""
    model, *others = scored
    found = [
        (name, other, *_difference(scored[other][name], scored[model][name], seed)) for name in sets for other in others
    ]
    corrected = holm([p_value for *_, p_value in found])
    return [
        Verdict(name, other, estimate, p_value)
        for (name, other, estimate, _), p_value in zip(found, corrected, strict=True)
    ]


def _difference(before: Evaluation, after: Evaluation, seed: int) -> tuple[Estimate, float]:
    """Return the difference with its interval and p-value; 1 if a metric is not defined."""
    metric = leading_metric(after.shape)
    (gold, first), (_, second) = (metric.values(each.predictions) for each in (before, after))
    return paired_gain(before, after, seed), permutation_p_value(metric, gold, first, second, seed)
