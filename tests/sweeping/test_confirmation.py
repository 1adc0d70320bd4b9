"""The best trials again with further seeds: one that does not hold is no candidate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from src.config import SweepSettings
from src.config.sweep import ConfirmConfig
from src.errors import Diverged, UserError
from src.sweeping.objective import TrialRunner
from src.sweeping.selection import confirm
from src.sweeping.study import SweepStudy, best_first
from src.sweeping.trainings import Trainings


@pytest.fixture
def trainings(
    bare_config: Callable[..., SweepSettings],
    study_of: Callable[[SweepSettings], SweepStudy],
    runner_of: Callable[[SweepStudy], TrialRunner],
) -> Trainings:
    runner = runner_of(study_of(bare_config(trials=4, pruner="none", confirm=ConfirmConfig(top_k=3, seeds=2))))
    runner.work("parent")
    return runner.trainings


def diverging(*rates: float) -> Callable[..., dict[str, Any]]:
    """Return what stands for a training that diverges at those learning rates."""

    def run(values: dict[str, Any], folder: Path, *_: Any, **__: Any) -> dict[str, Any]:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        if values["trainer.learning_rate"] in rates:
            raise Diverged("step 3: expected finite weights, found some that are not", "train more gently")
        pd.DataFrame({"gold": [0.0, 0.5, 1.0], "predicted": [0.1, 0.4, 0.8]}).to_parquet(folder / "predictions.parquet")
        return {"spearman_cosine": 1.0}

    return run


def test_the_next_best_takes_the_place_of_a_trial_that_diverges_with_another_seed(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = best_first(trainings.study)
    monkeypatch.setattr(trainings, "run", diverging(first.params["trainer.learning_rate"]))
    assert [candidate.number for candidate in confirm(trainings, "parent")] == [trial.number for trial in others]
    left_out = f"{first.number}  left out: step 3: expected finite weights, found some that are not\n"
    assert left_out in capsys.readouterr().out
    assert not list(trainings.study.folder.glob(f"confirm/{first.number:04d}-*/checkpoints"))
    monkeypatch.setattr(trainings, "run", diverging())
    assert [candidate.number for candidate in confirm(trainings, "parent")] == [trial.number for trial in others]
    assert left_out in capsys.readouterr().out


def test_if_all_of_them_diverge_the_sweep_says_so(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = [trial.params["trainer.learning_rate"] for trial in best_first(trainings.study)]
    monkeypatch.setattr(trainings, "run", diverging(*rates))
    with pytest.raises(UserError, match=r"found that all diverged .*: search lower learning rates"):
        confirm(trainings, "parent")


def test_if_no_trial_finishes_the_sweep_says_how_the_last_one_ended(
    bare_config: Callable[..., SweepSettings],
    study_of: Callable[[SweepSettings], SweepStudy],
    runner_of: Callable[[SweepStudy], TrialRunner],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = runner_of(study_of(bare_config(trials=2)))

    def run(*_: object, **__: object) -> None:
        raise Diverged("step 3: expected finite weights, found some that are not", "train more gently")

    monkeypatch.setattr(runner.trainings, "run", run)
    runner.work("parent")
    with pytest.raises(UserError, match=r"found none \(the last: step 3: expected finite weights"):
        confirm(runner.trainings, "parent")
