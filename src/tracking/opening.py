"""Opening of a run: its journal, new or resumed, and what is left of former runs."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import Timeout

from src.config import Config
from src.config.schema import flatten
from src.config.tracking import redact, sqlite_path
from src.tracking.database import database_lock, has_tables, set_damaged_store_aside
from src.tracking.journal import Journal
from src.tracking.journal_search import journal_of, open_journal
from src.tracking.queue import FINAL_SECONDS, WriteQueue
from src.tracking.store import (
    STORE_ERRORS,
    connect,
    find_run_id,
    is_outage,
    limit_requests_in_training,
    store_error,
)
from src.tracking.sync import end_former_runs, is_meant_for, other_store
from src.utils.errors import UserError, shorten
from src.utils.files import set_aside

log = logging.getLogger(__name__)


def open_queue(config: Config, tags: dict[str, str], former: str | None, needed: bool) -> WriteQueue:
    """Return the queue of a new run or of the `former` one, whose start is recorded or in the journal.

    Raises `UserError` if the store cannot be used; with `needed`, also if it is only unreachable.
    """
    limit_requests_in_training()
    folder, uri = Path(config.folder), config.tracking.uri
    resumed, lost = _former_journal(config, former) if former else (None, False)
    former = None if lost else former
    if former is None:
        end_former_runs(folder, config.tracking)
    journal = resumed or _new_journal(config, former)
    queue = WriteQueue(journal, config.tracking)
    try:
        queue.enqueue("open", new=former is None, tags=tags)
        if former is None:
            queue.enqueue("params", params={key: redact_setting(value) for key, value in flatten(asdict(config))})
        queue.flush(FINAL_SECONDS)
    except KeyboardInterrupt:  # the store may have the run already
        queue.end("KILLED")
        raise
    problem = queue.problem
    if problem and (needed or not is_outage(problem, uri)):
        queue.close(discard=resumed is None)
        if not isinstance(problem, STORE_ERRORS):
            raise problem
        raise store_error(problem, uri) from problem
    return queue


def _former_journal(config: Config, run_id: str) -> tuple[Journal | None, bool]:
    """Return the journal of the run to resume, if it has one, and whether the records of the run are lost.

    They are if the journal or the store was damaged, or the journal was written for another store.
    """
    damaged = _store_was_damaged(config.tracking.uri)
    known = journal_of(Path(config.folder), run_id)
    try:
        journal = open_journal(known) if known else None
    except Timeout:
        raise UserError(
            f"{known}: expected to open the journal, found it in use by another process, such as python -m"
            " src.sync: wait for it and give the same command again."
        ) from None
    if journal is None:
        return None, damaged or known is not None
    if is_meant_for(journal, config.tracking.uri) and not damaged:
        return journal, False
    if damaged:
        log.warning(
            f"{journal.folder}: the run that it continues was in the damaged store, kept as {set_aside(journal.folder)}"
        )
    else:
        log.warning(f"{other_store(journal, config.tracking)}; the training continues as a new run")
    journal.close()
    return None, True


def _new_journal(config: Config, key: str | None) -> Journal:
    try:
        return Journal.create(Path(config.folder), key, config.tracking.uri, config.name)
    except OSError as error:
        raise UserError(
            f"{config.folder}: expected a folder in which a journal can be made, found {shorten(error)}: make it"
            " writable, or give this run another name=NAME."
        ) from error


def _store_was_damaged(uri: str) -> bool:
    """Set a damaged SQLite store aside, with a warning; return whether there was one."""
    database = sqlite_path(uri)
    if database is None or not database.is_file():
        return False
    try:
        with database_lock(database):
            return set_damaged_store_aside(database)
    except OSError:  # not ours to repair; the first request says what is wrong
        return False


def known_run(config: Config, run_id: str | None) -> str | None:
    """Return the run id if the run can be resumed, else None; changes nothing.

    A run can be resumed if its journal is in the folder, or the store contains the run or is unreachable.
    """
    if run_id is None or journal_of(Path(config.folder), run_id):
        return run_id
    limit_requests_in_training()
    return stored_run(config.tracking.uri, run_id)


def stored_run(uri: str, run_id: str) -> str | None:
    """Return the id of a run, given that or its journal key, None if the store lacks it; as given in an outage."""
    try:
        return find_run_id(connect(uri), run_id) if has_tables(uri) else None
    except STORE_ERRORS as error:
        return run_id if is_outage(error, uri) else None


def redact_setting(value: Any) -> str:
    """Return a setting as the text of a parameter, an address without its secrets."""
    return redact(str(value)) if "://" in str(value) else str(value)
