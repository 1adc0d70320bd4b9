"""Files and folders that are either whole or not there, and that one process at a time works on."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from src.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write a file or folder to; the block's end puts it in place.

    If the block fails, what was at `path` before stays as it was and nothing else is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield draft
        if path.is_dir():
            shutil.rmtree(path)
        draft.replace(path)
    finally:
        if draft.is_dir():
            shutil.rmtree(draft)
        draft.unlink(missing_ok=True)


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep every other process that asks for it out of `folder`; the lock ends with the process, however it ends.

    Raises:
        UserError: another process is at work there.

    """
    folder.mkdir(parents=True, exist_ok=True)
    owner = folder / ".owner"
    try:
        with FileLock(folder / ".lock", timeout=0):
            since = datetime.now().astimezone().isoformat(timespec="seconds")
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()} since {since}", encoding="utf-8")
            yield
            owner.unlink(missing_ok=True)
    except Timeout:
        first = owner.read_text(encoding="utf-8") if owner.exists() else "another process"
        raise UserError(
            f"{folder} must be free, but {first} is at work there: wait for it, or give this run another name=NAME."
        ) from None
