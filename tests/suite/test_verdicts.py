"""Verdicts: a planted gain and a planted regression are found, noise is none, and Holm covers all differences."""

from math import nan

import pandas as pd
import pytest

from src.evaluation.evaluate import Evaluation
from src.evaluation.metrics import metrics_of
from src.evaluation.statistics import Estimate
from src.suite.verdicts import GAIN, NO_DIFFERENCE, REGRESSION, Verdict, verdicts
from tests.conftest import noisy_predictions


def evaluation(predictions: pd.DataFrame, shape: str) -> Evaluation:
    metrics = {metric.name: metric.compute(predictions) for metric in metrics_of(shape)}
    return Evaluation(shape, metrics, nan, predictions)


@pytest.mark.parametrize("shape", ["scored", "labelled", "triplets"])
def test_gain_and_regression_are_told_from_noise(shape: str) -> None:
    good, same, bad = (evaluation(noisy_predictions(noise, shape), shape) for noise in (0.2, 0.21, 0.9))
    scored = {"model": {"a": good, "b": bad, "c": good}, "base": {"a": bad, "b": good, "c": same}}
    found = verdicts(scored, ["a", "b", "c"], seed=1)
    assert [each.word for each in found] == [GAIN, REGRESSION, NO_DIFFERENCE]
    assert found[0].estimate.value == good.leading - bad.leading
    assert found[0].estimate.value == pytest.approx(-found[1].estimate.value)


def test_p_values_are_corrected_for_all_sets_and_models() -> None:
    one, other = (evaluation(noisy_predictions(noise), "scored") for noise in (0.3, 0.45))
    (alone,) = verdicts({"model": {"a": one}, "base": {"a": other}}, ["a"], seed=1)
    three = verdicts({"model": {"a": one}, "base": {"a": other}, "x": {"a": other}, "y": {"a": other}}, ["a"], seed=1)
    assert [each.p_value for each in three] == pytest.approx([min(1, 3 * alone.p_value)] * 3)
    assert three[0].estimate == alone.estimate


def test_an_interval_without_0_is_no_gain_without_significance() -> None:
    assert Verdict("a", "base", Estimate(0.1, 0.01, 0.2), 0.06).word == NO_DIFFERENCE
    assert Verdict("a", "base", Estimate(0.1, -0.01, 0.2), 0.01).word == NO_DIFFERENCE
    assert Verdict("a", "base", Estimate(-0.1, -0.2, -0.01), 0.01).word == REGRESSION


def test_a_metric_that_is_not_defined_shows_no_difference() -> None:
    good = noisy_predictions(0.2)
    constant = evaluation(good.assign(predicted=0.5), "scored")
    (found,) = verdicts({"model": {"a": constant}, "base": {"a": evaluation(good, "scored")}}, ["a"], seed=1)
    assert (found.word, found.p_value) == (NO_DIFFERENCE, 1.0)
