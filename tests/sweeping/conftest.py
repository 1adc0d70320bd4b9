"""A sweep without trainings, in which what the database does is seen in milliseconds, and sweeps in processes."""

from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

import src.sweep
from src.config import SweepSettings
from src.sweeping.objective import TrialRunner
from src.sweeping.space import build_space
from src.sweeping.study import SweepStudy
from src.sweeping.trainings import plain
from src.sweeping.values import Value
from src.sweeping.view import TrialView
from src.training.curve import CurveRow

STEPS = 40


class InstantTrainings:
    """Stands for `Trainings`: the Spearman is a function of the drawn values and grows over the training."""

    def __init__(self, study: SweepStudy) -> None:
        self.study = study
        self.values: dict[int, dict[str, Value]] = {}
        """Values of each trial that was run."""
        self.steps = 0

    def run(self, values: dict[str, Value], folder: Path, tags: dict[str, str], **given: Any) -> dict[str, Any]:
        number = int(tags["trial.number"])
        self.values[number] = dict(values)
        listeners = [given["listen"](plain(self.study.config))] if "listen" in given else []
        (folder / "model").mkdir(parents=True, exist_ok=True)
        for listener in listeners:
            listener.on_start(STEPS, 0)
        for step in range(STEPS // 4, STEPS + 1, STEPS // 4):
            self.steps += STEPS // 4
            spearman = self.spearman(values, step / STEPS)
            for listener in listeners:
                listener.on_row(CurveRow(step / STEPS, step, 0.1, 0.1, spearman, spearman))
        return {"run_id": f"run{number}", "spearman_cosine": spearman}

    def spearman(self, values: dict[str, Value], progress: float) -> float:
        rate = float(values["trainer.learning_rate"] or 0)
        return (1 - abs(rate - 3e-3) * 50) * (0.5 + progress / 2)


@pytest.fixture
def study_of() -> Callable[[SweepSettings], SweepStudy]:
    """Open the study of a sweep, make it and fill it up."""

    def opened(config: SweepSettings) -> SweepStudy:
        study = SweepStudy(config, build_space(config.sweep.space, plain(config)))
        study.lead()
        study.fill_up(config.sweep.trials, None)
        return study

    return opened


@pytest.fixture
def runner_of() -> Callable[[SweepStudy], TrialRunner]:
    """Make what runs the trials of a study at once."""

    def made(study: SweepStudy) -> TrialRunner:
        view = TrialView(study.config.sweep.trials, 1)
        return TrialRunner(InstantTrainings(study), view)  # type: ignore[arg-type]

    return made


@pytest.fixture
def start() -> Callable[[SweepSettings], ForkServerProcess]:
    """Start a sweep in a process of its own, forked from one that has imported everything."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["src.sweep"])

    def started(config: SweepSettings) -> ForkServerProcess:
        process = context.Process(target=src.sweep.run, args=(config,))
        process.start()
        return process

    return started


@pytest.fixture
def bare_config(sweep_config: Callable[..., SweepSettings]) -> Iterator[Callable[..., SweepSettings]]:
    """Compose a sweep whose trials last no time."""
    yield sweep_config
