"""The objective of a sweep: the leading metric of the weights that the winner will have, those after the last step."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import src.sweep
from src.config import SweepSettings
from src.config.commands import ConfirmConfig
from src.evaluation.result import Result
from src.sweeping.study import SweepStudy

pytestmark = pytest.mark.slow
DAMAGING, SMALL = 0.1, 1e-5
"""Learning rates: one that improves the encoder at first and then destroys it, and one that hardly trains."""


def test_a_trial_whose_best_evaluation_is_not_its_last_loses_to_one_that_ends_better(
    sweep_config: Callable[..., SweepSettings], capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"trainer.learning_rate": {"choices": [DAMAGING, SMALL]}}
    config = sweep_config(
        "trainer.epochs=2",
        "trainer.keep=best",
        trials=2,
        sampler="grid",
        pruner="none",
        space=space,
        validation=0.4,
        evaluations=8,
        confirm=ConfirmConfig(top_k=1, seeds=0),
    )
    src.sweep.run(config)
    study = SweepStudy(config)
    trials = {trial.params["trainer.learning_rate"]: trial for trial in study.trials()}
    best = {rate: max(trial.intermediate_values.values()) for rate, trial in trials.items()}
    assert best[DAMAGING] > best[SMALL]
    for trial in trials.values():
        assert trial.value == Result.load(study.trial_folder(trial.number)).leading.value
        assert trial.value == pytest.approx(trial.intermediate_values[100], abs=1e-4)
    (choice,) = json.loads((study.folder / "report" / "choice.json").read_text(encoding="utf-8"))
    assert choice["values"] == {"trainer.learning_rate": SMALL}
    table = pd.read_csv(Path(study.folder) / "report" / "trials.csv").set_index("trainer.learning_rate")
    assert table.loc[DAMAGING, "last_evaluation"] == trials[DAMAGING].intermediate_values[100] < best[DAMAGING]
    shown = capsys.readouterr().out
    assert re.search(rf"finished +{trials[DAMAGING].value:.4f}", shown)
