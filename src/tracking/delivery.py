"""Journals that no training has open, sent to their stores."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

from filelock import Timeout

from src.tracking.journal import FILE, FOLDER, Journal, find_journals
from src.tracking.outage import be_patient, is_outage
from src.tracking.outbox import AT_LAST, Outbox


@dataclass(frozen=True)
class Delivery:
    """What became of one journal."""

    folder: Path
    """The folder of the experiment."""
    run_id: str
    sent: int
    """Operations that the store has taken now."""
    left: int
    """Operations that still wait."""
    problem: Exception | None = None
    """Why they do."""
    ended: bool = True
    """False: the run was cut off, and the same command can go on with it."""
    busy: bool = False
    """A training has it open and sends it itself."""


def deliver(folder: Path) -> Iterator[Delivery]:
    """Send all journals below a folder, the oldest first; those that a training has open are its own affair.

    A store that is away when asked to take one is not asked to take the next.
    """
    be_patient()
    found = {file.parent for file in folder.rglob(f"{FOLDER}/*/{FILE}")}
    away: dict[str, Exception] = {}
    for path in sorted(found, key=lambda path: path.name):
        try:
            journal = Journal(path)
        except Timeout:
            yield Delivery(path.parent.parent, path.name, 0, 0, busy=True)
            continue
        outbox, before, store = Outbox(journal), len(journal.pending), journal.tracking.uri
        outbox.flush(0.0 if store in away else inf)
        journal.close()
        left, problem = len(journal.pending), outbox.problem or away.get(store)
        if problem and is_outage(problem, store):
            away[store] = problem
        yield Delivery(path.parent.parent, journal.run_id, before - left, left, problem, journal.ended)


def leave_former_runs(folder: Path) -> None:
    """Send what is left of earlier runs of an experiment's folder, each ended as KILLED if nothing else had ended it.

    After the first that its store does not take, the others only get their end.
    """
    seconds = AT_LAST
    for path in find_journals(folder):
        try:
            outbox = Outbox(Journal(path))
        except Timeout:
            continue
        if not outbox.journal.ended:
            outbox.journal.append("end", status="KILLED")
        outbox.flush(seconds)
        seconds = 0.0 if outbox.journal.pending else seconds
        outbox.journal.close()
