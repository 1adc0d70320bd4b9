"""Trainings of a sweep in one process share what is the same for all of them, and have the results of single ones."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from src.config import SweepSettings
from src.data import load_examples
from src.pipeline import base
from src.sweeping.space import Params
from src.sweeping.study import SweepStudy
from src.sweeping.trainings import Trainings, split_validation

GENTLE: Params = {"trainer.learning_rate": 1e-4, "trainer.epochs": 1}
STRONG: Params = {"trainer.learning_rate": 1e-2, "trainer.epochs": 2, "trainer.warmup_ratio": 0.3}


@pytest.fixture
def make_trainings(sweep_config: Callable[..., SweepSettings]) -> Callable[[], Trainings]:
    def made() -> Trainings:
        config = sweep_config(validation=0.4)
        config = replace(config, tracking=replace(config.tracking, models=False))
        return Trainings(SweepStudy(config), split_validation(config, load_examples(config.data)))

    return made


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Number of evaluations of a base encoder."""
    counts: Counter[str] = Counter()

    def counted(function: Callable[..., Any], *arguments: Any) -> Any:
        counts[function.__name__] += 1
        return function(*arguments)

    monkeypatch.setattr(base, "evaluate_sets", partial(counted, base.evaluate_sets))
    return counts


def test_trials_share_the_evaluation_of_their_base_encoder(
    make_trainings: Callable[[], Trainings], calls: Counter[str], tmp_path: Path
) -> None:
    trainings = make_trainings()
    trainings.run(GENTLE, tmp_path / "first", {"trial.number": "0"})
    trainings.run(STRONG, tmp_path / "second", {"trial.number": "1"}, seed=43)
    assert calls == {"evaluate_sets": 1}
    first, second = (pd.read_csv(tmp_path / name / "curve.csv") for name in ("first", "second"))
    pd.testing.assert_series_equal(first.iloc[0], second.iloc[0])
    trainings.run(GENTLE | {"trainer.batch_size": 8}, tmp_path / "third", {"trial.number": "2"})
    assert calls == {"evaluate_sets": 2}  # the batches of the validation loss are others


def test_a_trial_after_another_has_the_result_of_a_single_one(
    make_trainings: Callable[[], Trainings], tmp_path: Path
) -> None:
    trainings = make_trainings()
    trainings.run(GENTLE, tmp_path / "first", {"trial.number": "0"})
    after = trainings.run(STRONG, tmp_path / "after", {"trial.number": "1"})
    alone = make_trainings().run(STRONG, tmp_path / "alone", {"trial.number": "1"})
    pd.testing.assert_frame_equal(after.predictions, alone.predictions, check_exact=True)
    curves = [pd.read_csv(tmp_path / name / "curve.csv") for name in ("after", "alone")]
    pd.testing.assert_frame_equal(*curves, check_exact=True)
