"""Damage of SQLite files: detection, and setting a damaged file aside."""

import sqlite3
from contextlib import closing
from pathlib import Path

from src.utils.errors import shorten
from src.utils.files import set_aside

DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""SQLite's names of errors for a file that is damaged or no database; a locked or unreadable one has another."""
COMPANIONS = ("-wal", "-shm", "-journal")
"""Endings of files beside a database; SQLite would apply them to the next one of the same name."""


def set_damaged_aside(database: Path, timeout: float) -> tuple[Path, str] | None:
    """Rename a damaged file and its companions; return the new name and the damage, None for a sound file.

    The caller locks the file against other processes. `timeout`: seconds to wait for SQLite's own lock.
    """
    problem = damage(database, timeout)
    if problem is None:
        return None
    aside = set_aside(database)
    for end in COMPANIONS:
        companion = database.with_name(database.name + end)
        if companion.exists():
            set_aside(companion)
    return aside, problem


def damage(database: Path, timeout: float) -> str | None:
    """Return what is wrong with the content of a file; None for one that is sound, missing, locked or unreadable."""
    if not database.is_file():
        return None
    try:
        with closing(sqlite3.connect(database, timeout=timeout, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")  # another process may be creating its tables
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        return str(error) if getattr(error, "sqlite_errorname", "") in DAMAGED else None
    if database.stat().st_size == 0:
        return "an empty file"
    return None if found == "ok" else shorten(str(found))
