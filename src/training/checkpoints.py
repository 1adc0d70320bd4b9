"""Checkpoints of an unfinished training run: completeness check, lookup of the newest, and deletion."""

import json
from pathlib import Path

from src.utils.files import remove
from src.utils.processes import main_process_only

CHECKPOINTS = "checkpoints"
"""Folder of the checkpoints, in the folder of the result."""
COMPLETE_MARK = "complete.json"
"""File of a checkpoint that is written last and contains the size of every other file."""


def mark_complete(checkpoint: Path) -> None:
    """Write the sizes of a checkpoint's files into it, after all of them are written."""
    (checkpoint / COMPLETE_MARK).write_text(json.dumps(_sizes(checkpoint)), encoding="utf-8")


def is_complete(checkpoint: Path) -> bool:
    """Return whether all files of a checkpoint exist with the recorded sizes."""
    try:
        written: dict[str, int] = json.loads((checkpoint / COMPLETE_MARK).read_text(encoding="utf-8"))
        return written.items() <= _sizes(checkpoint).items()
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != COMPLETE_MARK)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint in a folder, None if there is none."""
    return max(filter(is_complete, _checkpoints(folder)), key=_step, default=None)


@main_process_only
def delete_incomplete(folder: Path) -> None:
    """Delete the remains of checkpoints whose writing was interrupted."""
    for checkpoint in _checkpoints(folder):
        if not is_complete(checkpoint):
            remove(checkpoint)


@main_process_only
def delete_checkpoints(folder: Path) -> None:
    """Delete the folder of checkpoints."""
    remove(folder)


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal()]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
