"""Trials claimed by the process that runs them: no two processes run one, and a dead process loses none."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from src.sweeping.database import alone
from src.sweeping.study import SweepStudy

WHERE = "where"
"""User attribute: host and folder a trial runs in."""


@dataclass
class Claim:
    """A trial that this process runs, and nobody else."""

    trial: Trial
    number: int
    known: dict[int, float]
    """Values of evaluations, by progress, that were reported before the trial was interrupted."""
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.earlier = float(self.trial.user_attrs.get("seconds", 0))

    def note(self, **facts: Any) -> None:
        """Write down facts about the trial, and the seconds it has taken so far, interruptions not counted."""
        seconds = round(self.earlier + time.monotonic() - self.started, 1)
        for key, value in {**facts, "seconds": seconds}.items():
            self.trial.set_user_attr(key, value)


@contextmanager
def claimed(study: SweepStudy) -> Iterator[Claim | None]:
    """Yield the next waiting trial, this process's alone for as long as the block lasts; None if none waits.

    A trial that the block leaves without an outcome waits again, with the values it has drawn.
    """
    found = _claim(study)
    if found is None:
        yield None
        return
    frozen, lock = found
    try:
        with _heart(study, frozen._trial_id):
            view = study.load(frozen.number)
            view.get_trials(deepcopy=False)  # Optuna's cache writes only to trials it has read
            yield Claim(Trial(view, frozen._trial_id), frozen.number, frozen.intermediate_values)
    finally:
        _let_wait(study, frozen._trial_id)
        lock.release()


def release_stale(study: SweepStudy) -> None:
    """Let trials wait again whose process has died: here its lock is free, elsewhere its heart has stopped."""
    silent = study.storage._get_stale_trial_ids(study.id)
    with alone(study.url):
        for trial in study.trials(TrialState.RUNNING):
            lock = _lock(study, trial.number)
            if lock is None:
                continue
            here = study.config.sweep.storage is None or trial.user_attrs.get(WHERE) == study.where
            if here or trial._trial_id in silent:
                _let_wait(study, trial._trial_id)
            lock.release()


def _claim(study: SweepStudy) -> tuple[FrozenTrial, FileLock] | None:
    release_stale(study)
    with alone(study.url):
        for trial in study.trials(TrialState.WAITING):
            lock = _lock(study, trial.number)
            if lock is None:
                continue
            study.storage.record_heartbeat(trial._trial_id)
            if study.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                study.storage.set_trial_user_attr(trial._trial_id, WHERE, study.where)
                return trial, lock
            lock.release()
    return None


def _let_wait(study: SweepStudy, trial_id: int) -> None:
    """Let a trial wait again, unless it has an outcome: the one who told it may just have let its lock go."""
    if study.storage.get_trial(trial_id).state != TrialState.RUNNING:
        return
    study.storage.set_trial_user_attr(trial_id, WHERE, "")  # nowhere, until its next process says so
    study.storage.set_trial_state_values(trial_id, TrialState.WAITING)


def _lock(study: SweepStudy, number: int) -> FileLock | None:
    """Return the lock of a trial, which ends with the process that holds it; None if another has it."""
    path = study.trial_folder(number) / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


@contextmanager
def _heart(study: SweepStudy, trial_id: int) -> Iterator[None]:
    """Show other machines that the trial is alive, for as long as the block lasts."""
    stop = Event()

    def beat() -> None:
        while not stop.wait(study.config.sweep.heartbeat):
            with suppress(StorageInternalError, SQLAlchemyError):  # a database that is away may come back
                study.storage.record_heartbeat(trial_id)

    beats = Thread(target=beat, daemon=True)
    beats.start()
    try:
        yield
    finally:
        stop.set()
        beats.join()
