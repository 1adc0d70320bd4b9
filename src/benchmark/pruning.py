"""What each pruner would have saved in a sweep, by the learning curves of its completed trials.

    python -m src.benchmark.pruning experiments/review_sts/sweep/study.db

replays the trials in the order in which they ended, as if one had run after the other. The curves of trials that the
sweep itself has pruned have no end: they are left out.
"""

import shutil
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from src.cli import Parser, parser_command
from src.config.commands import PRUNERS
from src.config.tracking import SQLITE
from src.sweeping.search import build_pruner
from src.utils.console import log_table
from src.utils.errors import UserError, shorten

STARTS = {"half": 50, "the first evaluation": 0}
"""Progress in per cent from which a pruner is asked; the sweep asks from half of a training on."""


@dataclass(frozen=True)
class Replay:
    """The trials that a pruner would have stopped."""

    stopped: int
    saved: float
    """Share of the steps of all trials that would not have been trained."""
    best_stopped: float | None
    """How far the best stopped trial is behind the best of all; None if none was stopped."""

    def __str__(self) -> str:
        if self.best_stopped is None:
            return "none stopped"
        saved = f"{self.stopped} stopped, {self.saved:.0%} of the steps saved"
        return f"{saved}, the best of them {self.best_stopped:.4f} behind the best"


def read_trials(path: Path) -> list[FrozenTrial]:
    """Return the completed trials of the study in an SQLite file, in the order in which they ended.

    Raises `UserError` if the file has no study with completed trials.
    """
    if not path.is_file():
        raise UserError(f"{path}: expected the study.db of a sweep, found no file: correct the path.")
    with TemporaryDirectory() as folder:  # Optuna creates its tables in any database
        try:
            study = optuna.load_study(study_name=None, storage=f"{SQLITE}{shutil.copyfile(path, f'{folder}/study.db')}")
            trials = study.get_trials(states=[TrialState.COMPLETE])
        except (SQLAlchemyError, ValueError, RuntimeError, KeyError) as error:
            raise UserError(
                f"{path}: expected the study.db of a sweep, found {shorten(error)}: name another."
            ) from error
    if not any(trial.intermediate_values for trial in trials):
        raise UserError(f"{path}: expected completed trials with their evaluations, found none: run the sweep first.")
    return sorted(trials, key=lambda trial: (str(trial.datetime_complete), trial.number))


def replay(trials: Sequence[FrozenTrial], pruner: str, start: int) -> Replay:
    """Return which trials a pruner stops that is asked from `start` per cent of each training on."""
    study = optuna.create_study(direction="maximize", study_name="replay", pruner=build_pruner(pruner))
    stopped: list[FrozenTrial] = []
    saved = 0.0
    for former in trials:
        if (progress := _stop(study.ask(), former, start)) is None:
            study.tell(study.trials[-1].number, former.value)
        else:
            study.tell(study.trials[-1].number, state=TrialState.PRUNED)
            stopped.append(former)
            saved += _steps(former) * (1 - progress / 100)
    best = max(_value(trial) for trial in trials)
    behind = best - max(map(_value, stopped)) if stopped else None
    return Replay(len(stopped), saved / sum(map(_steps, trials)), behind)


def run(study: Path) -> None:
    """Print for each pruner what it would have stopped and saved."""
    trials = read_trials(study)
    found = {
        f"{pruner}, from {name}": str(replay(trials, pruner, start))
        for pruner in PRUNERS
        if pruner != "none"
        for name, start in STARTS.items()
    }
    log_table(f"{study}: {len(trials)} completed trials", found)


def parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser("python -m src.benchmark.pruning", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="study.db of a sweep")
    return parser


def _stop(trial: optuna.Trial, former: FrozenTrial, start: int) -> int | None:
    """Report the evaluations of a former trial; return the progress in per cent at which it is pruned, or None."""
    for progress, value in sorted(former.intermediate_values.items()):
        trial.report(value, progress)
        if start <= progress < 100 and trial.should_prune():
            return progress
    return None


def _steps(trial: FrozenTrial) -> float:
    return float(trial.user_attrs.get("steps", 1))


def _value(trial: FrozenTrial) -> float:
    return trial.value or 0.0


if __name__ == "__main__":
    parser_command(run, parser())()
