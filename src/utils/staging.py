"""Replacement of several files and folders as a whole: fill a hidden folder, commit it by one rename, move its entries.

After a kill at any moment either the former entries are complete, or `roll_forward` completes the new ones.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.utils.errors import UserError
from src.utils.files import atomic_write, disk_space_check, make_way, remove, settle, shared_lock, sync

STAGING = ".result.tmp"
"""Hidden folder that is being filled, or removed; its content is of no value."""
READY = ".result.ready"
"""Name of the hidden folder once it is complete: its entries replace those of the same names."""
LOCK = ".result.lock"

log = logging.getLogger(__name__)


@contextmanager
def staged(folder: Path, size: int = 0) -> Iterator[Path]:
    """Yield an empty hidden folder, whose entries replace those of the same names in `folder` after the block.

    If the block fails, the former entries stay. An entry that is a link to a folder stays a link, and the content of
    that folder is replaced. `size`: bytes that will be written, if known beforehand.

    Raises `UserError` if the disk is full.
    """
    roll_forward(folder)
    staging = folder / STAGING
    remove(staging)
    staging.mkdir(parents=True)
    try:
        with disk_space_check(folder, staging, size):
            yield staging
            settle(staging)
        staging.rename(folder / READY)
    finally:
        remove(staging)
    sync(folder)
    _move_entries(folder, through_links=True)


def roll_forward(folder: Path) -> None:
    """Complete the replacement of entries in `folder` that a kill interrupted, if there is one.

    It follows no links, because the folder may come from somebody else.

    Raises `UserError` if the folder cannot be written.
    """
    if not (folder / READY).is_dir():
        return
    try:
        _move_entries(folder, through_links=False)
    except PermissionError as error:
        raise UserError(
            f"{folder}: expected a complete result, found one whose replacement was interrupted, and no permission to"
            f" complete it ({error}): give the same command as a user who may write there."
        ) from error


def _move_entries(folder: Path, through_links: bool) -> None:
    ready, lock = folder / READY, folder / LOCK
    with shared_lock(lock):
        entries = list(ready.iterdir()) if ready.is_dir() else []  # another process may have moved them meanwhile
        for entry in sorted(entries, key=lambda entry: (entry.suffix == ".json", entry.name)):  # metrics.json last
            _move(entry, folder / entry.name, through_links)
        sync(folder)
        remove(ready)
        lock.unlink(missing_ok=True)


def _move(entry: Path, target: Path, through_links: bool) -> None:
    if target.is_symlink() and entry.is_dir():
        if through_links and _is_replaceable(target.resolve(), entry):
            with atomic_write(target) as temporary:  # a copy, as the target may be on another disk
                shutil.copytree(entry, temporary)
            remove(entry.rename(entry.parent.with_name(STAGING)))  # a kill must not leave half of the entry
            return
        log.warning("%s: the link to %s is replaced with a folder", target, target.resolve())
    if not target.is_symlink():
        make_way(target, entry)
    if target.is_symlink() or target.is_dir():
        remove(target)
    entry.replace(target)


def _is_replaceable(linked: Path, entry: Path) -> bool:
    """Return whether a linked folder can be written and has no files but those that `entry` replaces."""
    if not os.access(linked.parent, os.W_OK):
        return False
    return not linked.exists() or (
        linked.is_dir() and {*map(_name, linked.iterdir())} <= {*map(_name, entry.iterdir())}
    )


def _name(path: Path) -> str:
    return path.name
