"""Sending of journals later: those that were written for the store of the present configuration."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from filelock import Timeout

from src.config.tracking import DEFAULT_FILE, SQLITE, TrackingConfig, redact, sqlite_path
from src.tracking.journal import Journal
from src.tracking.journal_search import find_all_journals, find_journals, open_journal
from src.tracking.queue import FINAL_SECONDS, WriteQueue, sync_command
from src.tracking.store import is_outage, limit_requests_outside_training
from src.utils.errors import UserError

EXPERIMENTS = "experiments"
"""Folder of a project with its experiments, beside its mlruns/."""

log = logging.getLogger(__name__)


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


def sync_journals(folder: Path, tracking: TrackingConfig, named: bool = False) -> Iterator[SyncReport]:
    """Send the journals below a folder, the oldest first, and yield a report on each; skip those in use elsewhere.

    Journals for another store than that of `tracking` or of their own project are not sent, unless the user has named
    the store. A store that was unreachable for one journal is not tried again for the others.
    """
    limit_requests_outside_training()
    unreachable: dict[str, Exception] = {}
    for path in find_all_journals(folder):
        try:
            journal = open_journal(path)
        except Timeout:
            yield SyncReport(path.parent.parent, path.name, 0, 0, busy=True)
            continue
        if journal is None:
            continue
        target = tracking if named else accepted_store(journal, tracking)
        queue, before = WriteQueue(journal, target or tracking), len(journal.pending)
        problem: Exception | None = None
        if target is None:
            problem = other_store(journal, tracking)
        else:
            queue.flush(0.0 if target.uri in unreachable else inf)
            problem = queue.problem or unreachable.get(target.uri)
            if problem and is_outage(problem, target.uri):
                unreachable[target.uri] = problem
        queue.close()
        left = len(journal.pending)
        yield SyncReport(path.parent.parent, journal.run_id, before - left, left, problem, journal.ended)


def end_former_runs(folder: Path, tracking: TrackingConfig) -> None:
    """Send the journals in an experiment's folder; end interrupted runs as KILLED.

    After the first journal that cannot be sent completely, no further one is sent; their runs are ended in the journal.
    Those for another store are left as they are, with a warning.
    """
    seconds = FINAL_SECONDS
    for path in find_journals(folder):
        try:
            journal = open_journal(path)
        except Timeout:
            continue
        if journal is None:
            continue
        if journal.last == 0:  # its process was killed before it recorded anything
            journal.close(discard=True)
            continue
        queue = WriteQueue(journal, tracking)
        if is_meant_for(journal, tracking.uri):
            if not journal.ended:
                queue.enqueue("end", status="KILLED")
            queue.flush(seconds)
            seconds = 0.0 if journal.pending else seconds
        elif journal.pending:
            log.warning(str(other_store(journal, tracking)))
        queue.close()


def accepted_store(journal: Journal, tracking: TrackingConfig) -> TrackingConfig | None:
    """Return the store to which a journal may be sent without asking: that of `tracking`, or its own project's."""
    if is_meant_for(journal, tracking.uri):
        return tracking
    project = _project(journal.folder)
    own = f"{SQLITE}{project / DEFAULT_FILE}" if project else tracking.uri
    return replace(tracking, uri=own, artifacts=None) if is_meant_for(journal, own) else None


def is_meant_for(journal: Journal, uri: str) -> bool:
    """Return whether a journal was written for the store at this address."""
    mine, written = sqlite_path(uri), sqlite_path(journal.header.uri)
    if mine is None or written is None:
        return uri.rstrip("/") == journal.header.uri.rstrip("/")
    places = [(_project(journal.folder) or Path()) / written]  # relative in journals of version 1
    if journal.header.store:
        places.append(journal.folder.resolve() / journal.header.store)
    return mine.resolve() in [place.resolve() for place in places]


def other_store(journal: Journal, tracking: TrackingConfig) -> UserError:
    """Return the error to show for a journal that was written for another store."""
    command = sync_command(journal.experiment_folder, journal.header.uri)
    return UserError(
        f"{journal.folder}: expected entries for {redact(tracking.uri)}, found {len(journal.pending)} for"
        f" {redact(journal.header.uri)}, to which they are sent only by {command}"
    )


def _project(folder: Path) -> Path | None:
    """Return the folder of the project in whose experiments/ a folder lies, None if it lies in none."""
    return next((each.parent for each in folder.resolve().parents if each.name == EXPERIMENTS), None)
