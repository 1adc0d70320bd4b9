"""Sweeps without trainings, in which the database is tested within milliseconds, and sweeps in processes."""

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import src.sweep
from src.config import SweepSettings
from src.evaluation.metrics import SPEARMAN, leading_metric
from src.sweeping.coordinator import join_study
from src.sweeping.leadership import Leadership
from src.sweeping.space import Params
from src.sweeping.study import SweepStudy
from src.sweeping.trials import TrialRunner
from src.training import CurveRow, TrainingCallback

STEPS = 40
"""Length of a training of `InstantTrainings`."""


class InstantTrainings:
    """Replaces `Trainings`: Spearman is a function of the params and rises during the training."""

    def __init__(self, study: SweepStudy) -> None:
        self.study = study
        self.params: dict[int, Params] = {}
        """Params of each trial that was run."""
        self.steps = 0
        self.metric = leading_metric("scored")
        self.parts = [None]

    def run(
        self,
        params: Params,
        folder: Path,
        tags: dict[str, str],
        callbacks: Callable[[int], Sequence[TrainingCallback]] = lambda part: (),
        **_: Any,
    ) -> SimpleNamespace:
        number = int(tags["trial.number"])
        self.params[number] = dict(params)
        (folder / "model").mkdir(parents=True, exist_ok=True)
        own = callbacks(0)
        for callback in own:
            callback.on_train_begin(STEPS, 0)
            callback.on_evaluate(CurveRow(0.0, 0, math.nan, 0.2, {SPEARMAN: -1.0}))
        for step in range(STEPS // 4, STEPS + 1, STEPS // 4):
            self.steps += STEPS // 4
            spearman = self.spearman(params, step / STEPS)
            for callback in own:
                callback.on_evaluate(CurveRow(step / STEPS, step, 0.1, 0.1, {SPEARMAN: spearman}))
        return SimpleNamespace(run_id=f"run{number}", value=spearman)

    def spearman(self, params: Params, progress: float) -> float:
        rate = float(params["trainer.learning_rate"] or 0)
        return (1 - abs(rate - 3e-3) * 50) * (0.5 + progress / 2)


@pytest.fixture
def open_study() -> Callable[[SweepSettings], SweepStudy]:
    """Open the study of a sweep; create it and fill its queue."""

    def opened(config: SweepSettings) -> SweepStudy:
        study = SweepStudy(config)
        with closing(Leadership(study)) as leadership:
            join_study(study, leadership)
        study.fill_queue(config.sweep.trials, None)
        return study

    return opened


@pytest.fixture
def make_runner() -> Callable[[SweepStudy], TrialRunner]:
    """Return a runner of the trials of a study, without trainings."""

    def made(study: SweepStudy) -> TrialRunner:
        return TrialRunner(InstantTrainings(study))  # type: ignore[arg-type]

    return made


@pytest.fixture
def start() -> Callable[[SweepSettings], ForkServerProcess]:
    """Start a sweep in a process of its own, forked from one that has the libraries imported."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["src.sweeping.coordinator"])

    def started(config: SweepSettings) -> ForkServerProcess:
        process = context.Process(target=src.sweep.run, args=(config,))
        process.start()
        return process

    return started
