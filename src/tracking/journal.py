"""Write-ahead journal of a run's MLflow calls: every operation is written to a file before it is sent to the store."""

import errno
import json
import os
import shutil
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Self
from uuid import uuid4

from filelock import FileLock

from src.config.tracking import TrackingConfig

FOLDER = "journal"
"""Subfolder of an experiment's folder, with a folder for each run that is active or has unsent operations."""
FILE = "operations.jsonl"


@dataclass(frozen=True)
class Operation:
    """One call to the MLflow store."""

    number: int
    name: str
    at: int
    """Unix time in milliseconds."""
    values: dict[str, Any]


class Journal:
    """The operations of one run in order, and the store's confirmations of them.

    The file is append-only JSON lines: the settings of the store, then operations and confirmations. Only one process
    at a time can open a journal.
    """

    def __init__(self, folder: Path) -> None:
        """Open the journal in `folder`; raise `filelock.Timeout` if another process has it open."""
        self.folder = folder
        self.key = folder.name
        """Identifies the run until the store has given it an id."""
        self.pending: deque[Operation] = deque()
        """Operations that the store has not confirmed."""
        self.facts: dict[str, str] = {}
        """Values returned by the store: `run_id`, `model_version`."""
        self.ended = False
        self.tracking, self.experiment, self.last = TrackingConfig(), "", 0
        self._unwritten = b""
        """Lines that could not be written because the disk was full."""
        self._writing = Lock()
        self._lock = FileLock(folder / ".lock")
        self._lock.acquire(timeout=0)
        self._read()

    @classmethod
    def create(cls, folder: Path, key: str | None, tracking: TrackingConfig, experiment: str) -> Self:
        """Create a journal in an experiment's folder; the default key is the current time with a random suffix."""
        path = folder / FOLDER / (key or f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:8]}")
        path.mkdir(parents=True, exist_ok=True)
        journal = cls(path)
        journal._write({"experiment": experiment, "tracking": asdict(tracking)})
        return journal

    @property
    def run_id(self) -> str:
        """The run's id in the store; the key until the store has given one."""
        return self.facts.get("run_id", self.key)

    def append(self, name: str, **values: Any) -> None:
        """Add an operation; it stays in memory while the disk is full."""
        with self._writing:
            self._write({"number": self.last + 1, "name": name, "at": int(time.time() * 1000), "values": values})

    def confirm(self, facts: dict[str, str]) -> None:
        """Mark the first pending operation as recorded by the store, with the values that the store returned."""
        with self._writing:
            self._write({"sent": self.pending[0].number, "facts": facts})

    def snapshot(self, path: Path) -> str:
        """Link or copy a file or folder in its current state; return the path relative to the journal's folder."""
        kept = self.folder / uuid4().hex[:8] / path.name
        try:
            kept.parent.mkdir()
            if path.is_dir():
                shutil.copytree(path, kept, copy_function=_link)
            else:
                _link(path, kept)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return str(path.resolve())  # disk full: the file is sent in the state it then has
        return str(kept.relative_to(self.folder))

    def close(self, discard: bool = False) -> None:
        """Release the journal for other processes; delete it if the run has ended and nothing is pending.

        `discard` deletes it in any case.
        """
        if discard or (self.ended and not self.pending):
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):  # not empty if there are journals of other runs
                self.folder.parent.rmdir()
        self._lock.release()

    def _read(self) -> None:
        path = self.folder / FILE
        content = path.read_bytes() if path.exists() else b""
        complete = content[: content.rfind(b"\n") + 1]
        if len(complete) < len(content):  # the last line was cut off by a crash, before `append` returned
            os.truncate(path, len(complete))
        for line in complete.splitlines():
            self._apply(json.loads(line))

    def _write(self, record: dict[str, Any]) -> None:
        self._apply(record)
        self._unwritten += json.dumps(record, ensure_ascii=False).encode() + b"\n"
        path = self.folder / FILE
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as file:
                file.write(self._unwritten)
                file.flush()
                os.fsync(file.fileno())
            self._unwritten = b""
        except OSError:
            with suppress(OSError):
                os.truncate(path, size)

    def _apply(self, record: dict[str, Any]) -> None:
        if "experiment" in record:
            self.experiment, self.tracking = record["experiment"], TrackingConfig(**record["tracking"])
        elif "sent" in record:
            self.facts |= record["facts"]
            while self.pending and self.pending[0].number <= record["sent"]:
                self.pending.popleft()
        else:
            operation = Operation(**record)
            self.pending.append(operation)
            self.last, self.ended = operation.number, operation.name == "end"


def find_journals(folder: Path) -> list[Path]:
    """Return the journals in an experiment's folder, the oldest first."""
    return sorted(file.parent for file in folder.glob(f"{FOLDER}/*/{FILE}"))


def journal_of(folder: Path, run_id: str) -> Path | None:
    """Return the journal of a run, given its id or key, in an experiment's folder; None if there is none."""
    for path in find_journals(folder):
        if run_id == path.name or f'"run_id": "{run_id}"' in (path / FILE).read_text(encoding="utf-8"):
            return path
    return None


def _link(source: str | Path, target: str | Path) -> None:
    """Make a hard link, else a copy; links are safe because result files are replaced, never modified in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
