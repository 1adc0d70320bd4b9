"""What a run tells its store, written down before it is sent: a store that is away loses nothing."""

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
"""In the folder of an experiment; below it each run has a folder of its own until the store has all of it."""
FILE = "operations.jsonl"


@dataclass(frozen=True)
class Operation:
    """One thing to be recorded."""

    number: int
    name: str
    at: int
    """Milliseconds since the epoch."""
    values: dict[str, Any]


class Journal:
    """The operations of one run in their order, and which of them the store has confirmed.

    An append-only file of JSON lines: the store's address, operations, confirmations. One process at a time has it.
    """

    def __init__(self, folder: Path) -> None:
        """Open the journal in `folder`; raise `filelock.Timeout` if another process has it."""
        self.folder = folder
        self.key = folder.name
        """Names the run until the store has given it an id."""
        self.pending: deque[Operation] = deque()
        self.facts: dict[str, str] = {}
        """What the store has answered: `run_id`, `model_version`."""
        self.ended = False
        self.tracking, self.experiment, self.last = TrackingConfig(), "", 0
        self._unwritten = b""
        """Lines that a full disk has refused."""
        self._writing = Lock()
        self._lock = FileLock(folder / ".lock")
        self._lock.acquire(timeout=0)
        self._read()

    @classmethod
    def create(cls, folder: Path, key: str | None, tracking: TrackingConfig, experiment: str) -> Self:
        """Start a journal below the folder of an experiment; without a key it is named after the time."""
        name = key or f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:8]}"
        (folder / FOLDER / name).mkdir(parents=True, exist_ok=True)
        journal = cls(folder / FOLDER / name)
        journal._write({"experiment": experiment, "tracking": asdict(tracking)})
        return journal

    @property
    def run_id(self) -> str:
        """The run's id in the store; the key as long as the store has not given one."""
        return self.facts.get("run_id", self.key)

    def append(self, name: str, **values: Any) -> None:
        """Write an operation down; while the disk is full it is kept in memory."""
        with self._writing:
            self._write({"number": self.last + 1, "name": name, "at": int(time.time() * 1000), "values": values})

    def confirm(self, facts: dict[str, str]) -> None:
        """Write down that the store has the first pending operation, and what it has answered."""
        with self._writing:
            self._write({"sent": self.pending[0].number, "facts": facts})

    def keep(self, path: Path) -> str:
        """Keep a file or folder as it is now; return its name as seen from the journal's folder."""
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
            return str(path.resolve())  # better the state of a later time than none
        return str(kept.relative_to(self.folder))

    def close(self, give_up: bool = False) -> None:
        """Let the journal go, for another process to open it; remove it if the store has all of an ended run.

        With `give_up` it is removed in any case.
        """
        if give_up or (self.ended and not self.pending):
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):  # journals of other runs lie beside it
                self.folder.parent.rmdir()
        self._lock.release()

    def _read(self) -> None:
        path = self.folder / FILE
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):  # the last line was cut off: what it said was not promised to anybody
            os.truncate(path, len(whole))
        for line in whole.splitlines():
            self._take(json.loads(line))

    def _write(self, record: dict[str, Any]) -> None:
        self._take(record)
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

    def _take(self, record: dict[str, Any]) -> None:
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
    """Return the journals of an experiment's folder, in the order in which they were begun."""
    return sorted(file.parent for file in folder.glob(f"{FOLDER}/*/{FILE}"))


def journal_of(folder: Path, run_id: str) -> Path | None:
    """Return the journal that an experiment's folder holds for a run, named by its id or its key."""
    for path in find_journals(folder):
        if run_id == path.name or f'"run_id": "{run_id}"' in (path / FILE).read_text(encoding="utf-8"):
            return path
    return None


def _link(source: str | Path, target: str | Path) -> None:
    """Make a second name of a file, which costs no space: files of a result are replaced, never written to."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
