"""Files that a journal's operations send: copies in its folder, and the check of their paths."""

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from src.tracking.operations import is_inside
from src.utils.errors import shorten
from src.utils.files import sync

log = logging.getLogger(__name__)


class UnusableOperation(ValueError):
    """An operation that cannot be sent, now or later."""


def keep(path: Path, folder: Path, experiment: Path) -> dict[str, Any] | None:
    """Link or copy a file or folder into the journal's `folder`; return the values that name it in an operation.

    Where no copy can be made, such as on a full disk, they name the file itself, to be sent in the state it then has;
    None if it lies outside the folder of the experiment.
    """
    kept = folder / uuid4().hex[:8] / path.name
    try:
        kept.parent.mkdir()
        if path.is_dir():
            shutil.copytree(path, kept, copy_function=_link)
        else:
            _link(path, kept)
        sync_folders(kept, kept.parent, folder)
        return {"kept": kept.relative_to(folder).as_posix(), "late": False}
    except OSError as error:
        shutil.rmtree(kept.parent, ignore_errors=True)
        late = Path(os.path.relpath(path, experiment)).as_posix()
        sent = "the file itself will be sent, as it then is" if is_inside(late) else "it cannot be sent"
        log.warning(f"{path}: no copy could be kept for the tracking ({shorten(error)}): {sent}")
        return {"kept": late, "late": True} if is_inside(late) else None


def locate(kept: str, root: Path) -> Path:
    """Return the file or folder at a path relative to `root`.

    Raises `UnusableOperation` unless it lies there, and neither its path nor its content has links or devices.
    """
    path = root / kept
    if not is_inside(kept) or path == root:
        raise UnusableOperation(f"expected a file in {root}, found the path {shorten(kept, 100)!r}")
    if not path.exists():
        raise UnusableOperation(f"expected the file {path}, found none")
    ways = [each for each in path.parents if root in each.parents]
    if any(each.is_symlink() for each in (path, *ways, *path.rglob("*"))):
        raise UnusableOperation(f"expected a file in {root}, found a link at {path}")
    if not all(each.is_file() or each.is_dir() for each in (path, *path.rglob("*"))):
        raise UnusableOperation(f"expected files in {path}, found a device or a pipe")
    return path


def sync_folders(*folders: Path) -> None:
    """Write the entries of folders to the disk, so that a power cut cannot lose them; some file systems cannot."""
    for folder in folders:
        with suppress(OSError):
            sync(folder)


def _link(source: str | Path, target: str | Path) -> None:
    """Make a hard link, else a copy; links are safe because result files are replaced, never modified in place."""
    source = os.path.realpath(source)  # not a link to a link
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
