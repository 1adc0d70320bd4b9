"""The database of a sweep: an SQLite file of one machine, or a PostgreSQL server for several."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages import RDBStorage
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from src.errors import UserError, in_short

SQLITE = "sqlite:///"


def open_storage(url: str, heartbeat: int) -> RDBStorage:
    """Return Optuna's storage at an address, with its tables; `heartbeat`: seconds between signs of life.

    Raises:
        UserError: there is no such database.

    """
    options = {"connect_args": {"timeout": 60}} if url.startswith(SQLITE) else {"pool_pre_ping": True}
    try:
        with _first(url):
            return RDBStorage(url, engine_kwargs=options, heartbeat_interval=heartbeat, grace_period=3 * heartbeat)
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        raise UserError(
            f"sweep.storage={url.split('@')[-1]}: expected a database that can be opened, found: {in_short(error)}:"
            " check the address, or leave it out for a file in the result folder."
        ) from error


@contextmanager
def _first(url: str) -> Iterator[None]:
    """Keep other processes out while the tables are made, as happens when a new database is opened."""
    if url.startswith(SQLITE):
        Path(url.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        with alone(url):
            yield
        return
    with create_engine(url, poolclass=NullPool).connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(1)"))  # until the connection is closed
        yield


def alone(url: str) -> AbstractContextManager[Any]:
    """Return what keeps other processes away from an SQLite file; a server has locks of its own."""
    return FileLock(f"{url.removeprefix(SQLITE)}.lock") if url.startswith(SQLITE) else nullcontext()
