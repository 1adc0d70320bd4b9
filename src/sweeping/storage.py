"""The database of a sweep: an SQLite file, or a PostgreSQL server; either is waited for while it does not answer."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from src.config.tracking import SQLITE, engine_uri, redact, redact_message, sqlite_path
from src.utils.errors import UserError, shorten
from src.utils.files import shared_lock
from src.utils.sqlite import set_damaged_aside

log = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE = 60.0
"""Seconds for which a database that does not answer is waited for."""
LOCK_TIMEOUT = 60.0
"""Seconds for which SQLite itself waits for a lock."""
REPEATED = (
    "create_new_study", "create_new_trial", "_create_new_trial", "set_study_user_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs", "get_trial",
    "get_all_trials", "_get_trials", "set_trial_param", "_set_trial_param", "set_trial_state_values",
    "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr", "record_heartbeat",
    "_get_stale_trial_ids",
)  # fmt: skip
"""Methods of `RDBStorage` that are one transaction each, with the private ones that Optuna's cache calls."""


class DatabaseUnreachable(UserError):
    """Raised if the database has not answered for `PATIENCE` seconds."""


class Patience:
    """Repetition of calls of a database while it does not answer, until it has been silent for `PATIENCE` seconds."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.silent_since: float | None = None

    def call(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Return the result of a function, which is repeated while the database does not answer.

        Raises `DatabaseUnreachable` in the end. Other errors pass through.
        """
        while True:
            try:
                found = function(*arguments, **named)
            except (StorageInternalError, SQLAlchemyError) as error:
                if not is_outage(error):
                    raise
                self._wait(error)
            else:
                self.silent_since = None
                return found

    def _wait(self, error: Exception) -> None:
        reason = shorten(redact_message(str(error.__cause__ or error), self.url))
        if self.silent_since is None:
            self.silent_since = time.monotonic()
            log.warning(
                f"waiting up to {PATIENCE:.0f} s for the database of the sweep, which does not answer: {reason}"
            )
        waited = time.monotonic() - self.silent_since
        if waited >= PATIENCE:
            raise DatabaseUnreachable(
                f"sweep.storage={redact(self.url)}: expected a database that answers, found none for {waited:.0f} s"
                f" ({reason}): start it and run the same command again, which resumes the sweep."
            ) from error
        time.sleep(min(0.1 + waited / 4, 5.0))


def is_outage(error: Exception) -> bool:
    """Return whether an error is that of a server that cannot be reached, or of an SQLite file that is locked."""
    cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
    if not isinstance(cause, OperationalError | InterfaceError):
        return False
    return "locked" in str(cause.orig) if isinstance(cause.orig, sqlite3.Error) else True


class PatientStorage(RDBStorage):
    """Optuna's storage, whose transactions are repeated while the database does not answer.

    A transaction may have been stored although its answer was lost. Repeated, most store the same values again; a
    further trial is not run; a trial that was taken counts as one whose process died, and is run by another.
    """

    def __init__(self, url: str, heartbeat: int) -> None:
        self.patience = Patience(url)
        lock = {"connect_args": {"timeout": LOCK_TIMEOUT}}
        options = lock if url.startswith(SQLITE) else {"pool_pre_ping": True}
        template = engine_uri(url).replace("{", "{{").replace("}", "}}")
        super().__init__(template, options, heartbeat_interval=heartbeat, grace_period=3 * heartbeat)


def _repeated(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: PatientStorage, *arguments: Any, **named: Any) -> Any:
        return self.patience.call(method, self, *arguments, **named)

    return call


for _name in REPEATED:
    setattr(PatientStorage, _name, _repeated(getattr(RDBStorage, _name)))


def open_storage(url: str, heartbeat: int) -> RDBStorage:
    """Return Optuna's storage at a URL, with its tables created; `heartbeat`: seconds between heartbeats.

    Raises `UserError` if the database cannot be opened.
    """
    try:
        with database_lock(url):
            return PatientStorage(url, heartbeat)
    except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError, ValueError, OSError) as error:
        reason = shorten(redact_message(str(error.__cause__ or error), url))
        raise UserError(
            f"sweep.storage={redact(url)}: expected a database that can be opened and written, found: {reason}:"
            " check the address and the permissions, or leave it out for a file in the result folder."
        ) from error


def set_damaged_study_aside(url: str) -> bool:
    """Rename an SQLite file that is empty, damaged or no database, and return whether that was necessary."""
    database = sqlite_path(url)
    if database is None or not database.is_file():
        return False
    with file_lock(url):
        found = set_damaged_aside(database, LOCK_TIMEOUT)
    if found is None:
        return False
    aside, problem = found
    log.warning(f"{database}: expected the database of the sweep, found {problem}: it is kept as {aside}")
    return True


@contextmanager
def database_lock(url: str) -> Iterator[None]:
    """Lock the database for the duration of the block, which creates tables or the study."""
    if database := sqlite_path(url):
        database.parent.mkdir(parents=True, exist_ok=True)
        if database.exists() and not os.access(database, os.W_OK):
            raise PermissionError(f"{database} is not writable for this user")
        with file_lock(url):
            yield
        return
    with server(url).connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(1)"))  # until the connection is closed
        yield


def server(url: str) -> Engine:
    """Return an engine for single connections to a server."""
    return create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def file_lock(url: str) -> AbstractContextManager[Any]:
    """Return the lock of an SQLite file; none for a server, which serializes writes itself."""
    database = sqlite_path(url)
    return shared_lock(Path(f"{database}.lock")) if database else nullcontext()
