"""Queue between a run and the MLflow store: sends with time limits, and sends the rest of the journals later."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from filelock import Timeout

from src.tracking.journal import FILE, FOLDER, Journal, find_journals
from src.tracking.store import is_outage, limit_requests_outside_training
from src.tracking.writer import StoreWriter
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

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.problem: Exception | None = None
        """Error of the last attempt to send; None if it succeeded."""
        self.writer: StoreWriter | None = None
        self.next_attempt = 0.0

    @property
    def run_id(self) -> str:
        """The run's id in the store; the key of its journal until the store has given one."""
        return self.journal.run_id

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
        reason = shorten(f"{type(self.problem).__name__}: {self.problem}") if self.problem else "the store is slow"
        return f"{waiting} entries not sent yet, stored in {self.journal.folder} ({reason}): run python -m src.sync"

    def enqueue(self, name: str, **values: Any) -> None:
        """Add an operation to the journal; safe in any thread."""
        self.journal.append(name, **values)

    def snapshot(self, path: Path) -> str:
        """Preserve the current state of a file or folder for an operation; return its name in the journal."""
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
                self.writer = self.writer or StoreWriter(self.journal)
                self.journal.confirm(self.writer.send(self.journal.pending[0]))
        except Exception as error:
            self.problem, self.writer = error, None  # the next writer reads the recorded metrics again
        took = time.monotonic() - start
        self.next_attempt = time.monotonic() + PAUSE_FACTOR * (max(took, MIN_FAILURE_SECONDS) if self.problem else took)

    def close(self, discard: bool = False) -> None:
        """Close the journal; with `discard` it is deleted in any case."""
        self.journal.close(discard)


class DiscardingQueue:
    """Stand-in for `WriteQueue` that records nothing, for all processes but the main one."""

    run_id = ""
    model_version = None
    behind = None

    def enqueue(self, name: str, **values: Any) -> None:
        """Do nothing."""

    def snapshot(self, path: Path) -> str:
        """Return an empty name."""
        return ""

    def flush_if_due(self) -> None:
        """Do nothing."""

    def flush(self, seconds: float) -> None:
        """Do nothing."""

    def close(self, discard: bool = False) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class SyncReport:
    """Outcome of sending one journal."""

    folder: Path
    """Folder of the experiment."""
    run_id: str
    sent: int
    """Operations sent by this call."""
    left: int
    """Operations still pending."""
    problem: Exception | None = None
    """Error that left operations pending, if any."""
    ended: bool = True
    """False if the run was interrupted; running the same command again resumes it."""
    busy: bool = False
    """True if another process has the journal open."""


def sync_journals(folder: Path) -> Iterator[SyncReport]:
    """Send all journals below a folder, the oldest first, and yield a report on each; skip those in use elsewhere.

    A store that was unreachable for one journal is not tried again for the others.
    """
    limit_requests_outside_training()
    found = {file.parent for file in folder.rglob(f"{FOLDER}/*/{FILE}")}
    unreachable: dict[str, Exception] = {}
    for path in sorted(found, key=lambda path: path.name):
        try:
            queue = WriteQueue(Journal(path))
        except Timeout:
            yield SyncReport(path.parent.parent, path.name, 0, 0, busy=True)
            continue
        journal, before = queue.journal, len(queue.journal.pending)
        uri = journal.tracking.uri
        queue.flush(0.0 if uri in unreachable else inf)
        queue.close()
        left, problem = len(journal.pending), queue.problem or unreachable.get(uri)
        if problem and is_outage(problem, uri):
            unreachable[uri] = problem
        yield SyncReport(path.parent.parent, journal.run_id, before - left, left, problem, journal.ended)


def end_former_runs(folder: Path) -> None:
    """Send the journals in an experiment's folder; end interrupted runs as KILLED.

    After the first journal that cannot be sent completely, no further one is sent; their runs are ended in the journal.
    """
    seconds = FINAL_SECONDS
    for path in find_journals(folder):
        try:
            queue = WriteQueue(Journal(path))
        except Timeout:
            continue
        if not queue.journal.ended:
            queue.enqueue("end", status="KILLED")
        queue.flush(seconds)
        seconds = 0.0 if queue.journal.pending else seconds
        queue.close()
