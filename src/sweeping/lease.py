"""Leases on trials: a trial runs in one process at a time, and is queued again if that process dies.

On one machine a lease is a file lock in the trial's folder, which is released when its process ends. Across machines
it is Optuna's heartbeat in the database.
"""

import logging
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

from src.sweeping.storage import DatabaseUnreachable, file_lock
from src.sweeping.study import REASON, SweepStudy, remove_checkpoints, trial_id
from src.utils.files import shared_lock

log = logging.getLogger(__name__)

LOCATION, DIED_AT = "location", "died_at"
"""User attributes of a trial: host and folder of the process that runs it; its progress in per cent whenever that
process died."""
ATTEMPTS = 2
"""Times that a trial is run whose process dies at the same progress, as for want of memory."""


@dataclass
class Lease:
    """Exclusive right of this process to run a trial."""

    trial: Trial
    number: int
    reported: dict[int, float]
    """Values reported so far, by progress in per cent."""
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.earlier_seconds = float(self.trial.user_attrs.get("seconds", 0))

    def report(self, value: float, progress: int) -> None:
        """Report the value at a progress in per cent, once."""
        if progress not in self.reported:
            self.trial.report(value, progress)
            self.reported[progress] = value
            self.set_attrs()

    def set_attrs(self, **attrs: Any) -> None:
        """Set user attributes of the trial, and update `seconds`, its running time without interruptions."""
        seconds = round(self.earlier_seconds + time.monotonic() - self.started, 1)
        for key, value in {**attrs, "seconds": seconds}.items():
            self.trial.set_user_attr(key, value)


@contextmanager
def acquire_trial(study: SweepStudy) -> Iterator[Lease | None]:
    """Yield a lease on the next waiting trial for the duration of the block, None if no trial waits.

    A trial without an outcome at the end of the block is queued again with its params.
    """
    found = _start_next(study)
    if found is None:
        yield None
        return
    frozen, lock = found
    try:
        with _heartbeat(study, frozen):
            optuna_study = study.optuna_study(frozen.number)
            optuna_study.get_trials(deepcopy=False)  # Optuna's cache writes only to trials that it has read
            yield Lease(Trial(optuna_study, trial_id(frozen)), frozen.number, dict(frozen.intermediate_values))
    finally:
        try:
            if is_held(study, frozen):
                _requeue(study, frozen)
        finally:
            lock.release()


def is_held(study: SweepStudy, trial: FrozenTrial | Trial) -> bool:
    """Return whether a trial of this process still runs here: it may have been taken as that of a dead process."""
    found = study.storage.get_trial(trial_id(trial))
    return bool(found.state == TrialState.RUNNING) and found.user_attrs.get(LOCATION) == study.location


def requeue_stale_trials(study: SweepStudy) -> None:
    """Queue trials again whose process has died, or store them as failed after `ATTEMPTS` deaths without progress.

    If that process was on this machine, the trial's lock is free; if on another, its heartbeat has stopped.
    """
    stale = stale_trial_ids(study)
    with file_lock(study.url):
        for trial in study.trials(TrialState.RUNNING):
            lock = _try_lock(study, trial.number)
            if lock is None:
                continue
            local = study.config.sweep.storage is None or trial.user_attrs.get(LOCATION) == study.location
            if local or trial_id(trial) in stale:
                _count_death(study, trial)
                _requeue(study, trial)
            lock.release()


def stale_trial_ids(study: SweepStudy) -> list[int]:
    """Return the ids of running trials whose heartbeat has stopped; Optuna's query for them is private."""
    return study.storage._get_stale_trial_ids(study.id)


def _start_next(study: SweepStudy) -> tuple[FrozenTrial, FileLock] | None:
    requeue_stale_trials(study)
    with file_lock(study.url):
        for trial in study.trials(TrialState.WAITING):
            lock = _try_lock(study, trial.number)
            if lock is None:
                continue
            study.storage.record_heartbeat(trial_id(trial))
            if study.storage.set_trial_state_values(trial_id(trial), TrialState.RUNNING):
                study.storage.set_trial_user_attr(trial_id(trial), LOCATION, study.location)
                return trial, lock
            lock.release()
    return None


def _count_death(study: SweepStudy, trial: FrozenTrial) -> None:
    """Store that the process of a running trial has died, and the trial as failed if that repeats itself.

    A machine that is switched off now and then does not fail a trial that progresses in between.
    """
    trial = study.storage.get_trial(trial_id(trial))
    if trial.state != TrialState.RUNNING or not trial.params:  # has ended, or had not begun
        return
    progress = max(trial.intermediate_values, default=0)
    died_at = [*trial.user_attrs.get(DIED_AT, []), progress]
    study.storage.set_trial_user_attr(trial_id(trial), DIED_AT, died_at)
    if died_at.count(progress) < ATTEMPTS:
        log.warning(f"trial {trial.number}: its process has died at {progress} % of the training: it is run again")
        return
    reason = f"its process died twice at {progress} % of the training (out of memory?)"
    study.storage.set_trial_user_attr(trial_id(trial), REASON, reason)
    study.storage.set_trial_state_values(trial_id(trial), TrialState.FAIL)
    remove_checkpoints(study.trial_folder(trial.number))
    log.warning(f"trial {trial.number} failed: {reason}")


def _requeue(study: SweepStudy, trial: FrozenTrial) -> None:
    """Queue a trial again, unless its process stored an outcome just before it released the lock."""
    if study.storage.get_trial(trial_id(trial)).state != TrialState.RUNNING:
        return
    study.storage.set_trial_user_attr(trial_id(trial), LOCATION, "")  # until its next process sets it
    study.storage.set_trial_state_values(trial_id(trial), TrialState.WAITING)


def _try_lock(study: SweepStudy, number: int) -> FileLock | None:
    """Return the acquired lock of a trial, None if another process holds it."""
    path = study.trial_folder(number) / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = shared_lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


@contextmanager
def _heartbeat(study: SweepStudy, trial: FrozenTrial) -> Iterator[None]:
    """Record heartbeats of a trial for the duration of the block."""
    stop = Event()

    def record() -> None:
        while not stop.wait(study.config.sweep.heartbeat):
            with suppress(StorageInternalError, SQLAlchemyError, DatabaseUnreachable):  # the trial itself waits
                study.storage.record_heartbeat(trial_id(trial))

    thread = Thread(target=record, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
