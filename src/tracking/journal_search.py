"""Journals on disk: where they lie, and the opening of those that can be used."""

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from filelock import Timeout

from src.tracking.journal import FILE, FOLDER, DamagedJournal, Journal
from src.utils.errors import shorten
from src.utils.files import set_aside

KEY = re.compile(r"[\w-]{1,100}")
"""Names of journals; those that were set aside have a dot in their names."""

log = logging.getLogger(__name__)


def open_journal(folder: Path) -> Journal | None:
    """Return the journal in a folder; set it aside, with a warning, and return None if it cannot be used.

    Raises `filelock.Timeout` if another process has it open.
    """
    try:
        return Journal(folder)
    except Timeout:
        raise
    except DamagedJournal as error:
        kept = folder
        with suppress(OSError):
            kept = set_aside(folder)
        log.warning(f"{error}: the journal cannot be sent and is kept as {kept}")
    except OSError as error:
        log.warning(f"{folder}: expected a journal that can be opened, found {shorten(error)}: it is not sent")
    return None


def find_journals(folder: Path) -> list[Path]:
    """Return the journals in an experiment's folder, the oldest first."""
    if (folder / FOLDER).is_symlink():
        return []
    found = (file.parent for file in folder.glob(f"{FOLDER}/*/{FILE}") if file.is_file())
    return sorted(path for path in found if KEY.fullmatch(path.name))


def find_all_journals(folder: Path) -> list[Path]:
    """Return the journals of all experiments below a folder, also in linked ones, the oldest first."""
    return sorted(
        (path for each in _folders(folder, set()) for path in find_journals(each)), key=lambda path: path.name
    )


def _folders(folder: Path, known: set[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in known:  # links can form a circle
        return
    known.add(real)
    yield folder
    with suppress(OSError):
        for each in folder.iterdir():
            if each.is_dir() and each.name != FOLDER:
                yield from _folders(each, known)


def journal_of(folder: Path, run_id: str) -> Path | None:
    """Return the journal of a run, given its id or key, in an experiment's folder; None if there is none."""
    for path in find_journals(folder):
        with suppress(OSError):
            if run_id == path.name or f'"run_id": "{run_id}"'.encode() in (path / FILE).read_bytes():
                return path
    return None
