"""Files and folders that are either whole or not there, and that one process at a time works on."""

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from glob import escape
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from src.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SAYS_FULL = ("No space left", "quota exceeded", "File too large", "StorageFull", "iostream error", "unexpected pos")
"""How Arrow, safetensors and torch say it, which raise errors of their own."""

FORMER = ".former.tmp"
"""Ending of a folder that is being replaced."""


@contextmanager
def replacing(path: Path, size: int = 0) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write a file or folder to; the block's end puts it in place.

    If the block fails, what was at `path` before stays as it was and nothing else is left. `size`: bytes that will be
    written, where they are known before.

    Raises:
        UserError: the disk is full.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with room_for(path, draft, size):
            yield draft
        if path.is_dir():
            path.rename(draft.with_suffix(FORMER))
        draft.replace(path)
    finally:
        _clear(path)


@contextmanager
def room_for(path: Path, draft: Path, size: int = 0) -> Iterator[None]:
    """Turn what the block raises on a full disk into one sentence; it writes `path` at `draft`.

    Raises:
        UserError: the disk is full.

    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not _says_full(error):
            raise
        needed, free = max(size, size_of(draft) + 1), shutil.disk_usage(path.parent).free
        remove(draft)
        raise UserError(
            f"{path}: expected room for {'' if size else 'more than '}{needed:,} bytes, found a full disk or a limit"
            f" ({free:,} bytes free): make room and give the same command again; what was there before is whole."
        ) from error


def _says_full(error: BaseException | None) -> bool:
    while error is not None:
        if getattr(error, "errno", None) in FULL or any(words in str(error) for words in SAYS_FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 for what is not there."""
    return sum(each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file())


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    """Remove the drafts beside `path` of this process and of killed ones; a former folder without a successor stays."""
    for draft in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        writer = draft.name.removeprefix(f".{path.name}.").split(".")[0]
        if not writer.isdecimal() or (int(writer) != os.getpid() and psutil.pid_exists(int(writer))):
            continue
        if draft.name.endswith(FORMER) and not path.exists():
            draft.rename(path)
        else:
            remove(draft)


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep every other process that asks for it out of `folder`; the lock ends with the process, however it ends.

    Raises:
        UserError: another process is at work there.

    """
    folder.mkdir(parents=True, exist_ok=True)
    owner, lock = folder / ".owner", FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        first = owner.read_text(encoding="utf-8") if owner.exists() else "another process"
        raise UserError(
            f"{folder} must be free, but {first} is at work there: wait for it, or give this run another name=NAME."
        ) from None
    try:
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        with room_for(owner, owner):
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()} since {since}", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        Path(lock.lock_file).unlink(missing_ok=True)  # who waits for the removed file sees that it guards no name
        lock.release()
