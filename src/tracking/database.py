"""SQLite file of an MLflow store: locks of other processes, damage, and creation."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from filelock import FileLock
from mlflow.tracking import MlflowClient

from src.config.tracking import SQLITE, engine_uri, sqlite_path
from src.utils.files import atomic_write, shared_lock
from src.utils.sqlite import set_damaged_aside

LOCK_TIMEOUT = 2.0
"""Seconds to wait for another process that has the SQLite file locked."""
SUFFIXES = (".db", ".sqlite", ".sqlite3")
"""Only files named like a database are set aside: a mistyped address must not rename any other file."""

log = logging.getLogger(__name__)


def database_lock(database: Path) -> FileLock:
    """Return the lock to hold while tables or experiments are created; all users of the file share it."""
    return shared_lock(Path(f"{database}.lock"), timeout=60)


def probe_sqlite(uri: str) -> None:
    """Raise `sqlite3.Error` for an SQLite file that cannot be used, or is locked by another process for too long.

    MLflow would wait 20 s for the other process, and 100 s for a file that is not a database.
    """
    database = sqlite_path(uri)
    if database and database.exists():
        with closing(sqlite3.connect(database, timeout=LOCK_TIMEOUT, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")


def has_tables(uri: str) -> bool:
    """Return whether MLflow has created its tables in the SQLite file; True for a server.

    A client would create missing tables on its first request.
    """
    database = sqlite_path(uri)
    if database is None:
        return True
    if not database.is_file():
        return False
    probe_sqlite(uri)
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone() is not None


def create_database(database: Path) -> None:
    """Create the file with MLflow's tables unless it exists."""
    if not database.exists():
        with atomic_write(database) as temporary:  # a killed process must not leave half of the tables
            MlflowClient(engine_uri(f"{SQLITE}{temporary}")).search_experiments()


def set_damaged_store_aside(database: Path) -> bool:
    """Set a damaged file aside, with a warning, and return whether it was damaged; needs `database_lock`."""
    if database.suffix not in SUFFIXES:
        return False
    found = set_damaged_aside(database, LOCK_TIMEOUT)
    if found is None:
        return False
    aside, problem = found
    log.warning(f"{database}: expected an MLflow store, found {problem}: it is kept as {aside}, a new one is made")
    return True
