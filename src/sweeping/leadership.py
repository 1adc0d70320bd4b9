"""Leadership of a sweep: one process at a time holds it, and any process may take it once that one has ended.

It is a lock in the database, which is released with the process that holds it: an advisory lock of PostgreSQL, or a
lock on a file beside an SQLite database.
"""

import hashlib
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from src.config.tracking import sqlite_path
from src.sweeping.storage import Patience, server
from src.sweeping.study import SweepStudy
from src.utils.files import shared_lock

KEEPALIVE = "SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
"""The server notices within 50 s that the machine of a connection has gone; its default is two hours."""


class Leadership:
    """The right of this process to lead a sweep, if it has acquired it; `close` releases it."""

    def __init__(self, study: SweepStudy) -> None:
        self.url = study.url
        self.key = int.from_bytes(hashlib.sha256(study.name.encode()).digest()[:8], signed=True)
        """Key of the advisory lock: a number for each study of a server."""
        database = sqlite_path(study.url)
        self.file = shared_lock(Path(f"{database}.leader.lock")) if database else None
        self.connection: Connection | None = None
        self.patience = Patience(study.url)

    def acquire(self) -> bool:
        """Return whether this process leads the sweep: it does already, or no other process did.

        A server that was restarted has lost the lock; it is then acquired again, if possible.
        """
        return self._lock_file(self.file) if self.file else self.patience.call(self._lock_server)

    def _lock_file(self, file: FileLock) -> bool:
        try:
            if not file.is_locked:
                file.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def _lock_server(self) -> bool:
        if self.connection is not None:
            try:
                self.connection.execute(text("SELECT 1"))
                return True
            except SQLAlchemyError:
                self.close()
        connection = server(self.url).connect()
        connection.execute(text(KEEPALIVE))
        if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self.key}).scalar():
            self.connection = connection
        else:
            connection.close()
        return self.connection is not None

    def close(self) -> None:
        """Release the lock."""
        if self.file:
            self.file.release()
        if self.connection is not None:
            self.connection.invalidate()
            self.connection.close()
            self.connection = None
