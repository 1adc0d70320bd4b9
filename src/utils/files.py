"""Atomic and durable file writes, digests, disk-space errors in one sentence, and exclusive folder locks."""

import errno
import hashlib
import logging
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from glob import escape
from itertools import count
from os.path import expanduser
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from src.utils.errors import UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_FULL_MESSAGES = (
    "No space left", "quota exceeded", "File too large", "StorageFull", "iostream error", "unexpected pos",
)  # fmt: skip
"""Parts of messages about a full disk from Arrow, safetensors and torch, whose exceptions may have no errno."""
FORMER = ".former.tmp"
"""Suffix of the previous version of a folder while it is replaced."""

log = logging.getLogger(__name__)


@contextmanager
def atomic_write(path: Path, size: int = 0) -> Iterator[Path]:
    """Yield a temporary path for a file or folder, which is moved to `path` after the block.

    The new content is on the disk before the former is given up, so that a power cut leaves one of them. If the block
    fails, the previous content of `path` is kept and the temporary path removed. If `path` is a link, its target is
    replaced. `size`: bytes that will be written, if known beforehand.

    Raises `UserError` if the disk is full.
    """
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with disk_space_check(path, temporary, size):
            yield temporary
            settle(temporary)
        make_way(path, temporary)
        if path.is_dir():
            path.rename(temporary.with_suffix(FORMER))
        temporary.replace(path)
        sync(path.parent)
    finally:
        _remove_leftovers(path)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; raise `UserError` if the disk is full."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def disk_space_check(path: Path, temporary: Path, size: int = 0) -> Iterator[None]:
    """Watch for a full disk while the block writes `temporary`, the future `path`; remove `temporary` in that case.

    Raises `UserError` if the disk is full.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not _is_disk_full(error):
            raise
        needed, free = max(size, size_of(temporary) + 1), shutil.disk_usage(path.parent).free
        remove(temporary)
        raise UserError(
            f"{path}: expected room for {'' if size else 'more than '}{needed:,} bytes, found a full disk or a limit"
            f" ({free:,} bytes free): make room and run the same command again; the former file is unchanged."
        ) from error


def _is_disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if getattr(error, "errno", None) in DISK_FULL or any(text in str(error) for text in DISK_FULL_MESSAGES):
            return True
        error = error.__cause__ or error.__context__
    return False


def size_of(path: Path) -> int:
    """Return the size in bytes of a file, or of all files in a folder; 0 if it does not exist."""
    return sum(each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file())


def settle(path: Path) -> None:
    """Give a file, or a folder and everything in it, the permissions that the umask allows, and flush it to the disk.

    Flushing 460 MB took 0.2 to 0.5 s, the result of a training 0.02 s for its small files.
    """
    follow_umask(path)
    for each in (*path.rglob("*"), path):
        if not each.is_symlink():
            sync(each)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    if os.name == "nt":  # folders cannot be flushed there, nor files that are open for reading only
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems flush no folders
            raise
    finally:
        os.close(descriptor)


def follow_umask(path: Path) -> None:
    """Give a file, or a folder and everything in it, the permissions that the umask allows.

    Libraries such as safetensors write temporary files that only the owner can read, and rename them.
    """
    mask = os.umask(0o077)  # the only way to read it; a file of another thread would be too private, not too open
    os.umask(mask)
    for each in (path, *path.rglob("*")):
        if not each.is_symlink():
            mode = stat.S_IMODE(each.stat().st_mode)
            wanted = mode | (0o777 if each.is_dir() else 0o666) & ~mask
            with suppress(PermissionError):  # file systems without permissions
                if wanted != mode:
                    each.chmod(wanted)


def make_way(path: Path, content: Path) -> None:
    """Set aside a folder at the `path` of a file `content`, or a file at the path of a folder."""
    if path.exists() and path.is_dir() != content.is_dir():
        kinds = ("a folder", "a file") if content.is_dir() else ("a file", "a folder")
        log.warning("%s: expected %s, found %s: it is now %s", path, *kinds, set_aside(path))


def remove(path: Path) -> None:
    """Remove a file or folder if it exists; of a link, only the link itself."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_except(folder: Path, kept: str) -> None:
    """Remove everything below a folder but its subfolders named `kept`, at any depth, and what they contain."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink() or not path.is_dir():
            remove(path)
        elif path.name != kept:
            remove_except(path, kept)
            with suppress(OSError):  # not empty
                path.rmdir()


def file_digest(path: Path) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 digest of each file below a folder, by relative path, in the order of the paths."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def set_aside(path: Path) -> Path:
    """Rename a damaged file or folder to NAME.damaged, with a number if that exists, and return the new path."""
    names = (f"{path.name}.damaged{number or ''}" for number in count())
    target = next(free for name in names if not os.path.lexists(free := path.with_name(name)))
    return path.rename(target)


def _remove_leftovers(path: Path) -> None:
    """Remove temporary paths of this and dead processes; restore a previous folder if its replacement is missing."""
    for temporary in path.parent.glob(f".{escape(path.name)}.*.tmp*"):  # SQLite appends -journal
        writer = temporary.name.removeprefix(f".{path.name}.").split(".")[0]
        if not writer.isdecimal() or (int(writer) != os.getpid() and psutil.pid_exists(int(writer))):
            continue
        if temporary.name.endswith(FORMER) and not path.exists():
            temporary.rename(path)
        else:
            remove(temporary)


def shared_lock(path: Path, timeout: float = -1) -> FileLock:
    """Return a lock file that every user with write access to its folder can lock, also if another user made it.

    `timeout`: seconds to wait for it; negative: without limit.
    """
    mode = stat.S_IMODE(path.parent.stat().st_mode) & 0o666 | 0o600
    return FileLock(path, timeout=timeout, mode=mode)


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Lock `folder` for the duration of the block; the operating system releases the lock if the process dies.

    Folders made for it are removed again if they are empty after the block, as after invalid input.

    Raises `UserError` if another process holds the lock, or there cannot be such a folder.
    """
    missing = _make_folder(folder)
    holder, lock = folder / ".owner", shared_lock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        found = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        raise UserError(
            f"{folder} must not be in use, found {found} running there: wait for it, or choose another folder."
        ) from None
    try:
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        with disk_space_check(holder, holder):
            holder.unlink(missing_ok=True)  # of another user's killed process
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {since}", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        Path(lock.lock_file).unlink(missing_ok=True)  # a process waiting for the removed file notices and reopens it
        lock.release()
        _remove_empty(missing)


def path_of(name: str) -> Path:
    """Return the path that a user has given, with `~` expanded if there is such a home folder."""
    return Path(expanduser(name))  # noqa: PTH111, Path.expanduser fails without a home folder


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and return it with the parents that were missing, innermost first."""
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        raise UserError(
            f"{error.filename}: expected a folder, or a place for a new one, found {str(error.strerror).lower()}:"
            " choose another place, or change the owner or mode of the folder above it."
        ) from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, innermost first, up to one that is not empty."""
    for folder in folders:
        with suppress(OSError):  # it is not empty, or was never made
            folder.rmdir()
