"""Paths of artifacts in an SQLite store that was moved or copied together with them.

MLflow stores absolute paths. After a move they would lead to nothing, and after a copy into the original's folders.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from src.config.tracking import sqlite_path
from src.tracking.database import LOCK_TIMEOUT

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns with addresses of artifacts."""
RUNS = """
SELECT artifact_location, run_uuid FROM experiments JOIN runs USING (experiment_id)
WHERE artifact_location LIKE 'file:%' ORDER BY artifact_location, start_time DESC
"""

log = logging.getLogger(__name__)


def mend_paths(uri: str) -> None:
    """Let the addresses of artifacts follow an SQLite file that was moved or copied with them, with a warning.

    A folder of artifacts counts as moved if the folder of a recorded run lies beside the file, under the same names,
    and the recorded one is another folder.

    Raises `sqlite3.Error` if the file cannot be read, or is locked by another process.
    """
    database = sqlite_path(uri)
    if database is None or not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=LOCK_TIMEOUT, isolation_level=None)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'logged_models'").fetchone() is None:
            return
        moved = dict(_moved_roots(connection.execute(RUNS).fetchall(), database.resolve().parent))
        if moved and _replace(connection, moved):
            places = ", ".join(f"{_path(old)} is now {_path(new)}" for old, new in moved.items())
            log.warning(f"{database}: moved since its last use: the paths of its artifacts are mended ({places})")


def _moved_roots(runs: list[tuple[str, str]], here: Path) -> Iterator[tuple[str, str]]:
    """Yield the address of each moved folder of artifacts, with its present one; both end with a slash."""
    settled: set[str] = set()
    for address, run_id in runs:
        if address in settled:
            continue
        location = _path(address)
        old = location.parent
        places = [base.joinpath(*old.parts[-depth:]) for base in (here, here.parent) for depth in (1, 2)]
        if any(old.exists() and place.exists() and old.samefile(place) for place in places):
            settled.add(address)
            continue
        for place in places:
            if (place / location.name / run_id).is_dir():
                settled.add(address)
                yield address[: address.rstrip("/").rfind("/") + 1], f"{place.as_uri()}/"
                break


def _replace(connection: sqlite3.Connection, moved: dict[str, str]) -> bool:
    """Replace the beginnings of all addresses in one transaction; return whether the file could be written."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "readonly" in str(error):
            return False
        raise
    for old, new in moved.items():
        for table, column in COLUMNS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                (new, len(old) + 1, len(old), old),
            )
    connection.execute("COMMIT")
    return True


def _path(address: str) -> Path:
    return Path(url2pathname(urlparse(address).path))
