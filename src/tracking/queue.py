"""Queue between a run and the MLflow store: operations are written down, and sent within time limits."""

import shlex
import time
from pathlib import Path
from typing import Any

from src.config.tracking import TrackingConfig, absolute_uri, default_uri, redact, redact_message
from src.tracking.journal import Journal
from src.tracking.kept import UnusableOperation
from src.tracking.writer import StoreWriter
from src.utils.console import relative_to_cwd
from src.utils.errors import shorten

PAUSE_FACTOR = 10
"""Minimum pause between two attempts to send, as a multiple of the duration of the first."""
STEP_SECONDS = 2.0
"""Time limit of an attempt during training."""
FINAL_SECONDS = 60.0
"""Time limit of an attempt at the start and the end of a run."""
MIN_FAILURE_SECONDS = 1.0
"""A failed attempt counts as at least this long."""


class WriteQueue:
    """Write operations into the journal, and send them to the store in order."""

    def __init__(self, journal: Journal, tracking: TrackingConfig) -> None:
        self.journal = journal
        self.tracking = tracking
        self.problem: Exception | None = None
        """Error of the last attempt to send; None if it succeeded."""
        self.writer: StoreWriter | None = None
        self.next_attempt = 0.0

    @property
    def run_id(self) -> str:
        """The run's id in the store; the key of its journal until the store has given one."""
        return self.journal.run_id

    @property
    def experiment_id(self) -> str | None:
        """Id of the experiment in the store; None until the store has recorded the run."""
        return self.journal.facts.get("experiment_id")

    @property
    def model_version(self) -> str | None:
        """Version under which the model is registered; None if it is not."""
        return self.journal.facts.get("model_version")

    @property
    def behind(self) -> str | None:
        """Message with the number of unsent operations, the reason and what to do; None if all are sent."""
        waiting = len(self.journal.pending)
        if not waiting:
            return None
        problem = f"{type(self.problem).__name__}: {self.problem}" if self.problem else "the store is slow"
        reason = shorten(redact_message(problem, self.tracking.uri))
        command = sync_command(self.journal.experiment_folder, self.tracking.uri)
        return f"{waiting} entries not sent yet, stored in {self.journal.folder} ({reason}): run {command}"

    def enqueue(self, name: str, **values: Any) -> None:
        """Add an operation to the journal; safe in any thread."""
        self.journal.append(name, **values)

    def snapshot(self, path: Path) -> dict[str, Any] | None:
        """Keep the current state of a file or folder; return the values that name it in an operation, if it has any."""
        return self.journal.snapshot(path)

    def flush_if_due(self) -> None:
        """Send pending operations if the pause after the last attempt is over."""
        if time.monotonic() >= self.next_attempt:
            self.flush(STEP_SECONDS)

    def flush(self, seconds: float) -> None:
        """Send pending operations; start no request after `seconds`.

        Errors of the store and its client are kept in `problem`, so that they do not end the training.
        """
        start = time.monotonic()
        self.problem = None
        try:
            while self.journal.pending and time.monotonic() - start < seconds:
                self.writer = self.writer or StoreWriter(self.journal, self.tracking)
                try:
                    self.journal.confirm(self.writer.send(self.journal.pending[0]))
                except UnusableOperation as error:
                    self.journal.skip(error)
        except Exception as error:
            self.problem, self.writer = error, None  # the next writer reads the recorded metrics again
        took = time.monotonic() - start
        self.next_attempt = time.monotonic() + PAUSE_FACTOR * (max(took, MIN_FAILURE_SECONDS) if self.problem else took)

    def end(self, status: str) -> None:
        """Record the end of the run, send what is pending, and close the journal."""
        self.enqueue("end", status=status)
        self.flush(FINAL_SECONDS)
        self.close()

    def close(self, discard: bool = False) -> None:
        """Close the journal; with `discard` it is deleted in any case."""
        self.journal.close(discard)


class DiscardingQueue:
    """Stand-in for `WriteQueue` that records nothing, for all processes but the main one."""

    run_id = ""
    experiment_id = None
    model_version = None
    behind = None

    def enqueue(self, name: str, **values: Any) -> None:
        """Do nothing."""

    def snapshot(self, path: Path) -> None:
        """Keep nothing."""

    def flush_if_due(self) -> None:
        """Do nothing."""

    def flush(self, seconds: float) -> None:
        """Do nothing."""

    def end(self, status: str) -> None:
        """Do nothing."""


def sync_command(folder: Path, uri: str) -> str:
    """Return the command that sends the journals below a folder to the store at `uri`."""
    store = "" if absolute_uri(uri) == absolute_uri(default_uri()) else f" uri={shlex.quote(redact(uri))}"
    return f"python -m src.sync {shlex.quote(str(relative_to_cwd(folder)))}{store}"
