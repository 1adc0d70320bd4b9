"""The study: one database of trials, which every process of the sweep reads and writes."""

import shutil
import socket
import warnings
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.samplers import RandomSampler
from optuna.storages import get_storage
from optuna.trial import FrozenTrial, TrialState

from src.config import SweepSettings
from src.sweeping.database import alone, open_storage
from src.sweeping.search import build_pruner, build_sampler
from src.sweeping.values import Space, Value
from src.training.precision import choose_precision

DONE = (TrialState.COMPLETE, TrialState.PRUNED)

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=ExperimentalWarning)


def sweep_folder(config: SweepSettings) -> Path:
    """Return where everything of a sweep lies."""
    return Path(config.folder) / "sweep"


class SweepStudy:
    """The trials of one sweep in their database."""

    def __init__(self, config: SweepSettings, space: Space) -> None:
        self.config = config
        self.space = space
        self.folder = sweep_folder(config)
        self.name = config.name
        self.url = config.sweep.storage or f"sqlite:///{self.folder.resolve()}/study.db"
        self.where = f"{socket.gethostname()}:{self.folder.resolve()}"
        self.storage = open_storage(self.url, config.sweep.heartbeat)
        self.view = get_storage(self.storage)
        """The same database, in which a finished trial is read only once."""

    def create(self) -> bool:
        """Make the study unless there is one; return whether it was made now."""
        with alone(self.url), suppress(DuplicatedStudyError):
            optuna.create_study(storage=self.storage, study_name=self.name, direction="maximize")
            return True
        return False

    def load(self, number: int = 0) -> optuna.Study:
        """Return Optuna's view of the study with the sampler of one trial."""
        sampler, pruner = build_sampler(self.config.sweep, self.space, number), build_pruner(self.config.sweep.pruner)
        return optuna.load_study(study_name=self.name, storage=self.view, sampler=sampler, pruner=pruner)

    @cached_property
    def id(self) -> int:
        """The number of the study in its database."""
        return self.storage.get_study_id_from_name(self.name)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, or all, by number."""
        return self.view.get_all_trials(self.id, deepcopy=False, states=states or None)

    @property
    def done(self) -> int:
        """How many trials are finished or pruned."""
        return len(self.trials(*DONE))

    def note(self, key: str, value: Any) -> None:
        """Write down something about the study."""
        self.storage.set_study_user_attr(self.id, key, value)

    def noted(self, key: str) -> Any:
        """Return what was written down under a key, None if nothing was."""
        return self.storage.get_study_user_attrs(self.id).get(key)

    def leave_out(self, number: int, reason: str) -> None:
        """Write down why a trial that finished cannot be the winner."""
        self.note(f"left_out.{number}", reason)

    def left_out(self, number: int) -> str | None:
        """Return why a trial cannot be the winner, None if it can."""
        reason: str | None = self.noted(f"left_out.{number}")
        return reason

    def lead(self) -> bool:
        """Make the study or go on with it; return whether this sweep made it, and so chooses the winner."""
        default = self.config.sweep.storage is None
        if self.create() or (default and self.noted("leader") is None):
            self._forget()
            self.note("leader", self.where)
        leads = default or self.noted("leader") == self.where
        if leads and self.noted("precision") is None:
            self.note("precision", choose_precision(self.config.trainer.precision))
        return leads

    def _forget(self) -> None:
        """Remove what a former study of another database has left in the folder."""
        for name in ("trials", "confirm", "winner", "report"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def fill_up(self, total: int, first: dict[str, Value] | None) -> None:
        """See to it that exactly `total` trials are finished, pruned, running or waiting; `first` are the values of 0.

        Each trial has its number before anybody runs it, so that no two processes can make one too many.
        """
        waiting, known = self.trials(TrialState.WAITING), len(self.trials())
        alive = len(self.trials(*DONE, TrialState.RUNNING, TrialState.WAITING))
        for trial in waiting[len(waiting) - max(alive - total, 0) :]:
            self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        for number in range(alive, total):
            fixed = {"fixed_params": first} if number == known == 0 and first else {}
            trial = optuna.create_trial(state=TrialState.WAITING, system_attrs=fixed)
            self.storage.create_new_trial(self.id, template_trial=trial)

    def tell(self, number: int, value: float | None = None, state: TrialState | None = None) -> None:
        """Write down the outcome of a trial: its value, or that it was pruned or failed."""
        # not by the study of the trial: at the end of a grid its sampler would stop a loop that is not Optuna's
        study = optuna.load_study(study_name=self.name, storage=self.view, sampler=RandomSampler())
        study.tell(number, value, state, skip_if_finished=True)

    def trial_folder(self, number: int) -> Path:
        """Return where a trial trains."""
        return self.folder / "trials" / f"{number:04d}"


def best_first(study: SweepStudy) -> list[FrozenTrial]:
    """Return the finished trials, the best first, of equal ones the earlier first."""
    return sorted(study.trials(TrialState.COMPLETE), key=lambda trial: (-(trial.value or 0.0), trial.number))
