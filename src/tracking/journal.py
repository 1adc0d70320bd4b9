"""Write-ahead journal of a run's MLflow calls: every operation is written to a file before it is sent to the store."""

import json
import logging
import os
import shutil
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Self
from uuid import uuid4

from src.config.tracking import absolute_uri, sqlite_path
from src.tracking.kept import UnusableOperation, keep, locate, sync_folders
from src.tracking.operations import Confirmation, Header, Operation, Record, parse_line
from src.utils.errors import UserError
from src.utils.files import atomic_write, set_aside, shared_lock

FOLDER = "journal"
"""Subfolder of an experiment's folder, with a folder for each run that is active or has unsent operations."""
FILE = "operations.jsonl"
SHOWN = 3
"""Maximum number of damaged lines named in a warning."""

log = logging.getLogger(__name__)


class DamagedJournal(ValueError):
    """A journal of which nothing can be sent."""


class Journal:
    """The operations of one run in order, and the store's confirmations of them.

    The file is append-only JSON lines: a header, then operations and confirmations. Only one process at a time can
    open a journal.
    """

    def __init__(self, folder: Path) -> None:
        """Open the journal in `folder`; set damaged lines aside, with a warning.

        Raises `filelock.Timeout` if another process has it open, `DamagedJournal` if nothing in it can be used,
        `OSError` if it cannot be read.
        """
        self.folder = folder
        self.key = folder.name
        """Identifies the run until the store has given it an id."""
        self.pending: deque[Operation] = deque()
        """Operations that the store has not confirmed."""
        self.facts: dict[str, str] = {}
        """Values returned by the store: `run_id`, `experiment_id`, `model_version`."""
        self.ended = False
        self.header = Header("", "")
        self.last, self._last_at = 0, 0
        self._unwritten = b""
        """Lines that could not be written because the disk was full."""
        self._writing = Lock()
        if link := next((path for path in (folder, *folder.rglob("*")) if path.is_symlink()), None):
            raise DamagedJournal(f"{link}: expected files of the journal itself, found a link")
        self._lock = shared_lock(folder / ".lock")
        self._lock.acquire(timeout=0)
        try:
            self._read()
        except BaseException:
            self._lock.release()
            raise

    @classmethod
    def create(cls, folder: Path, key: str | None, uri: str, experiment: str) -> Self:
        """Create a journal in an experiment's folder; the default key is the current time with a random suffix."""
        path = folder / FOLDER / (key or f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:8]}")
        path.mkdir(parents=True, exist_ok=True)
        database = sqlite_path(uri)
        relative = os.path.relpath(database.resolve(), path.resolve()) if database else None
        header = Header(experiment, absolute_uri(uri), relative)
        (path / FILE).write_bytes(_line(header.line()))
        journal = cls(path)
        sync_folders(path, path.parent, folder)  # a power cut must not lose the new folders
        return journal

    @property
    def experiment_folder(self) -> Path:
        """Folder of the experiment to which the run belongs."""
        return self.folder.parent.parent

    @property
    def run_id(self) -> str:
        """The run's id in the store; the key until the store has given one."""
        return self.facts.get("run_id", self.key)

    def append(self, name: str, **values: Any) -> None:
        """Add an operation; it stays in memory while the disk is full.

        Its time is never before that of the operation before it, also if the clock is set back.
        """
        with self._writing:
            at = max(int(time.time() * 1000), self._last_at)
            operation = Operation(self.last + 1, name, at, values)
            self._apply(operation)
            self._write(asdict(operation))

    def confirm(self, facts: dict[str, str]) -> None:
        """Mark the first pending operation as recorded by the store, with the values that the store returned."""
        with self._writing:
            confirmation = Confirmation(self.pending[0].number, facts)
            self._apply(confirmation)
            self._write(asdict(confirmation))

    def skip(self, reason: UnusableOperation) -> None:
        """Set the first pending operation aside, with a warning: it cannot be sent."""
        operation = self.pending[0]
        kept = self._keep(_line(asdict(operation)))
        log.warning(
            f"{self.folder / FILE}: operation {operation.number} cannot be sent: {reason}; it is kept in {kept}"
        )
        self.confirm({})

    def snapshot(self, path: Path) -> dict[str, Any] | None:
        """Keep the current state of a file or folder; return the values that name it in an operation, if it has any."""
        return keep(path, self.folder, self.experiment_folder)

    def locate(self, kept: str, late: bool = False) -> Path:
        """Return the file or folder that an operation sends; raise `UnusableOperation` if it must not be sent."""
        return locate(kept, self.experiment_folder if late else self.folder)

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
        content = path.read_bytes()
        complete = content[: content.rfind(b"\n") + 1]
        if len(complete) < len(content):  # the last line was cut off by a crash, before `append` returned
            os.truncate(path, len(complete))
        if not complete:
            raise DamagedJournal(f"{path}: expected a header, found an empty file")
        problems = []
        for number, line in enumerate(complete[:-1].split(b"\n"), start=1):
            try:
                problems += self._accept(number, parse_line(line))
            except ValueError as error:
                problems.append(f"line {number}: {error}")
            if number == 1 and not self.header.experiment:
                raise DamagedJournal(f"{path} {problems[0]}")
        if self.pending and "run_id" not in self.facts and self.pending[0].name not in ("open", "export"):
            problems.append("the start of the run is missing")
            first = self.pending[0]
            self.pending.appendleft(Operation(0, "open", first.at, {"new": True, "tags": {}}))
        if problems:
            self._mend(content, problems)

    def _accept(self, number: int, record: Record) -> list[str]:
        """Take over a line that has been read; return what is missing before it."""
        if isinstance(record, Header) != (number == 1):
            raise ValueError("expected the header as first line, and only there")
        if isinstance(record, Confirmation) and record.sent > self.last:
            raise ValueError(f"expected a confirmation up to operation {self.last}, found {record.sent}")
        expected = self.last + 1
        if isinstance(record, Operation) and record.number < expected:
            raise ValueError(f"expected operation {expected}, found {record.number}")
        self._apply(record)
        return [f"line {number}: expected operation {expected}, found {self.last}"] if self.last > expected else []

    def _mend(self, content: bytes, problems: list[str]) -> None:
        """Set the damaged file aside, with a warning, and write what can be used in its place."""
        kept = self._keep(content)
        self.pending = deque(replace(each, number=number) for number, each in enumerate(self.pending, start=1))
        self.last = len(self.pending)
        lines = [self.header.line(), asdict(Confirmation(0, self.facts)), *map(asdict, self.pending)]
        with suppress(OSError, UserError), atomic_write(self.folder / FILE) as temporary:
            temporary.write_bytes(b"".join(map(_line, lines)))
        shown = "; ".join([*problems[:SHOWN], *([f"and {len(problems) - SHOWN} more"] if problems[SHOWN:] else [])])
        log.warning(f"{self.folder / FILE}: {shown}: the rest is sent, the damaged file is kept in {kept}")

    def _keep(self, content: bytes) -> Path:
        """Write content that cannot be used into a new file beside the journal's folder; return the file."""
        path = self.folder.with_name(f"{self.key}.{FILE}")
        with suppress(OSError):
            path.write_bytes(content)
            return set_aside(path)
        return path

    def _apply(self, record: Record) -> None:
        if isinstance(record, Header):
            self.header = record
        elif isinstance(record, Confirmation):
            self.facts |= record.facts
            while self.pending and self.pending[0].number <= record.sent:
                self.pending.popleft()
        else:
            self.pending.append(record)
            self.last, self._last_at = record.number, max(record.at, self._last_at)
            self.ended = record.name in ("end", "export")

    def _write(self, values: dict[str, Any]) -> None:
        self._unwritten += _line(values)
        path, size = self.folder / FILE, None
        try:
            with path.open("ab") as file:
                size = file.tell()
                file.write(self._unwritten)
                file.flush()
                os.fsync(file.fileno())
            self._unwritten = b""
        except OSError:
            with suppress(OSError):
                if size is not None:
                    os.truncate(path, size)


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode() + b"\n"
