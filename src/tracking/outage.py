"""Stores that do not answer: how long they are waited for, and whether to try again later may help."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import InvalidUrlException, MlflowException
from sqlalchemy.exc import SQLAlchemyError

from src.errors import UserError, in_short

SQLITE = "sqlite:///"
SECONDS_FOR_A_LOCK = 2.0
SQLITE_OUTAGES = ("database is locked", "is full", "disk I/O error")
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
STORE_ERRORS = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)
"""What a store that does not answer raises."""


def wait_for_turn(uri: str) -> None:
    """Raise `sqlite3.Error` at once where an SQLite file cannot be used, or after a while where another process does.

    MLflow would wait 20 s for the other process, and 100 s for a file that is none.
    """
    database = Path(uri.removeprefix(SQLITE))
    if uri.startswith(SQLITE) and database.exists():
        with closing(sqlite3.connect(database, timeout=SECONDS_FOR_A_LOCK, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")


def be_brief() -> None:
    """Let requests to a server fail soon, and without further attempts of the client: the journal makes them.

    What the user has set in the environment stays.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def be_patient() -> None:
    """Let requests outside a training be tried three times: by default a server that is down costs minutes.

    What the user has set in the environment stays.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")


@contextmanager
def time_for_upload() -> Iterator[None]:
    """Give a server as long as MLflow does by default to store a large file, while the block lasts."""
    brief = MLFLOW_HTTP_REQUEST_TIMEOUT.get()
    MLFLOW_HTTP_REQUEST_TIMEOUT.set(max(brief, MLFLOW_HTTP_REQUEST_TIMEOUT.default))
    try:
        yield
    finally:
        MLFLOW_HTTP_REQUEST_TIMEOUT.set(brief)


def is_outage(error: Exception, uri: str) -> bool:
    """Return whether the store is away or out of order, so that trying again later may help."""
    if isinstance(error, OSError):
        return isinstance(error, TimeoutError | ConnectionError) or error.errno in DISK_ERRORS
    if uri.startswith(SQLITE):
        return any(sign in str(error) for sign in SQLITE_OUTAGES)
    status = error.get_http_status_code() if isinstance(error, MlflowException) else 400
    return not isinstance(error, InvalidUrlException) and (status >= 500 or status == 429)


def refusal(error: Exception, uri: str) -> UserError:
    """Return what the user is told of a store that cannot be used."""
    return UserError(
        f"tracking.uri={uri.split('@')[-1]}: expected an MLflow store that answers, found {type(error).__name__}: "
        f"{in_short(error)}: start it, or set another tracking.uri."
    )


@contextmanager
def store_needed(uri: str) -> Iterator[None]:
    """Turn what a store that does not answer raises into a `UserError`."""
    try:
        yield
    except STORE_ERRORS as error:
        raise refusal(error, uri) from error
