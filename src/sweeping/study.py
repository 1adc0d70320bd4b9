"""The study: one database of trials, which every process of the sweep reads and writes."""

import shutil
import socket
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.samplers import RandomSampler
from optuna.storages import RDBStorage, get_storage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from src.config import SweepSettings
from src.errors import UserError
from src.sweeping.search import build_pruner, build_sampler
from src.sweeping.space import Space, Value
from src.tracking import flatten
from src.training.precision import choose_precision

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
WHERE = "where"
"""User attribute: host and folder a trial runs in."""
FREE_TO_CHANGE = (
    "folder",
    "tracking",
    "published",
    "trainer.resume",
    "trainer.threads",
    "sweep.trials",
    "sweep.workers",
    "sweep.engine",
    "sweep.storage",
    "sweep.heartbeat",
    "sweep.failures",
    "sweep.confirm",
)
"""Settings that may differ from one start of a sweep to the next."""

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=ExperimentalWarning)


@dataclass
class Claim:
    """A trial that this process runs, and nobody else."""

    trial: Trial
    number: int
    known: dict[int, float]
    """Values of evaluations, by progress, that were reported before the trial was interrupted."""


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
        self.file = Path(self.url.removeprefix("sqlite:///")) if self.url.startswith("sqlite:///") else None
        self.where = f"{socket.gethostname()}:{self.folder.resolve()}"
        self.storage = self._open()
        self.view = get_storage(self.storage)
        """The same database, in which a finished trial is read only once."""

    def _open(self) -> RDBStorage:
        beat = self.config.sweep.heartbeat
        options = {"connect_args": {"timeout": 60}} if self.file else {"pool_pre_ping": True}
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._alone():
                return RDBStorage(self.url, engine_kwargs=options, heartbeat_interval=beat, grace_period=3 * beat)
        except (SQLAlchemyError, ImportError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"sweep.storage={self.url.split('@')[-1]}: expected a database that can be opened, found: {reason}:"
                " check the address, or leave it out for a file in the result folder."
            ) from error

    def _alone(self) -> AbstractContextManager[Any]:
        """Return what keeps other processes away from an SQLite file; a server has locks of its own."""
        return nullcontext() if self.file is None else FileLock(f"{self.file}.lock")

    def create(self) -> bool:
        """Make the study unless there is one; return whether it was made now."""
        with self._alone(), suppress(DuplicatedStudyError):
            optuna.create_study(storage=self.storage, study_name=self.name, direction="maximize")
            return True
        return False

    def load(self, number: int = 0) -> optuna.Study:
        """Return Optuna's view of the study with the sampler of one trial."""
        sampler, pruner = build_sampler(self.config.sweep, self.space, number), build_pruner(self.config.sweep.pruner)
        return optuna.load_study(study_name=self.name, storage=self.view, sampler=sampler, pruner=pruner)

    @property
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

    def lead(self, identity: dict[str, str]) -> bool:
        """Make the study or go on with it; return whether this sweep made it, and so chooses the winner.

        Raises:
            UserError: the study is one of other settings.

        """
        default = self.config.sweep.storage is None
        if self.create() or (default and self.noted("leader") is None):
            self._forget()
            self.note("precision", choose_precision(self.config.trainer.precision))
            self.note("leader", self.where)
        self.stay_the_same(identity)
        return default or self.noted("leader") == self.where

    def _forget(self) -> None:
        """Remove what a former study of another database has left in the folder."""
        for name in ("trials", "confirm", "winner", "report"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def stay_the_same(self, identity: dict[str, str]) -> None:
        """Write down what the sweep depends on at its first start.

        Raises:
            UserError: it depends on something else now.

        """
        former = self.noted("identity")
        if former is None:
            return self.note("identity", identity)
        names = sorted(name for name in former.keys() | identity.keys() if former.get(name) != identity.get(name))
        if not names:
            return None
        told = "; ".join(
            f"{name} was {former.get(name, 'not set')}, is {identity.get(name, 'not set')}" for name in names
        )
        raise UserError(
            f"{self.url.split('@')[-1]} holds a sweep of other settings ({told}): restore them to go on, or give the"
            " new sweep another name=NAME, or remove the old one."
        )

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

    @contextmanager
    def claimed(self) -> Iterator[Claim | None]:
        """Yield the next waiting trial, this process's alone for as long as the block lasts; None if none waits.

        A trial that the block leaves without an outcome waits again, with the values it has drawn.
        """
        found = self._claim()
        if found is None:
            yield None
            return
        frozen, lock = found
        stop = Event()
        beats = Thread(target=self._beat, args=(frozen._trial_id, stop), daemon=True)
        beats.start()
        try:
            study = self.load(frozen.number)
            study.get_trials(deepcopy=False)  # Optuna's cache writes only to trials it has read
            yield Claim(Trial(study, frozen._trial_id), frozen.number, frozen.intermediate_values)
        finally:
            stop.set()
            beats.join()
            if self.storage.get_trial(frozen._trial_id).state == TrialState.RUNNING:
                self._let_wait(frozen._trial_id)
            lock.release()

    def _claim(self) -> tuple[FrozenTrial, FileLock] | None:
        self.release_stale()
        with self._alone():
            for trial in self.trials(TrialState.WAITING):
                lock = self._lock(trial.number)
                if lock is None:
                    continue
                self.storage.record_heartbeat(trial._trial_id)
                if self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    self.storage.set_trial_user_attr(trial._trial_id, WHERE, self.where)
                    return trial, lock
                lock.release()
        return None

    def release_stale(self) -> None:
        """Let trials wait again whose process has died: here its lock is free, elsewhere its heart has stopped."""
        silent = self.storage._get_stale_trial_ids(self.id)
        with self._alone():
            for trial in self.trials(TrialState.RUNNING):
                lock = self._lock(trial.number)
                if lock is None:
                    continue
                here = self.config.sweep.storage is None or trial.user_attrs.get(WHERE) == self.where
                if here or trial._trial_id in silent:
                    self._let_wait(trial._trial_id)
                lock.release()

    def _let_wait(self, trial_id: int) -> None:
        self.storage.set_trial_user_attr(trial_id, WHERE, "")  # nowhere, until its next process says so
        self.storage.set_trial_state_values(trial_id, TrialState.WAITING)

    def _lock(self, number: int) -> FileLock | None:
        """Return the lock of a trial, which ends with the process that holds it; None if another has it."""
        path = self.trial_folder(number) / ".lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def _beat(self, trial_id: int, stop: Event) -> None:
        while not stop.wait(self.config.sweep.heartbeat):
            with suppress(SQLAlchemyError):
                self.storage.record_heartbeat(trial_id)

    def trial_folder(self, number: int) -> Path:
        """Return where a trial trains."""
        return self.folder / "trials" / f"{number:04d}"


def identity_of(config: SweepSettings, pairs: str) -> dict[str, str]:
    """Return what a sweep depends on by name: all settings that decide its result, and the digest of the pairs."""
    settings = dict(flatten(asdict(config)))
    settled = {
        name: str(value)
        for name, value in settings.items()
        if not any(name == free or name.startswith(f"{free}.") for free in FREE_TO_CHANGE)
    }
    return {**settled, "pairs": pairs}


def best_first(study: SweepStudy) -> list[FrozenTrial]:
    """Return the finished trials, the best first, of equal ones the earlier first."""
    return sorted(study.trials(TrialState.COMPLETE), key=lambda trial: (-(trial.value or 0.0), trial.number))
