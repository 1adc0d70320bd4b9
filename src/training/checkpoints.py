"""Checkpoints of an unfinished training run: integrity check, lookup of the newest, and deletion."""

import json
import logging
from pathlib import Path

import torch
from transformers import TrainerState
from transformers.trainer_pt_utils import safe_globals

from src.utils.errors import shorten
from src.utils.files import file_digests, remove, set_aside, settle, sync, write_text
from src.utils.processes import main_process_only

CHECKPOINTS = "checkpoints"
"""Folder of the checkpoints, in the folder of the result."""
COMPLETE_MARK = "complete.json"
"""File of a checkpoint that is written last and contains the digest of every other file."""
DAMAGED = "damaged"
"""Subfolder for damaged checkpoints, where neither this module nor transformers looks for checkpoints."""
STATE = "trainer_state.json"
PICKLES = ("*.pt", "*.pth", "*.bin")
NOT_LOADED = "training_args.bin"
"""File that transformers writes, and loads only for inspection."""
LIBRARY = "sentence_transformers."

log = logging.getLogger(__name__)


def mark_complete(checkpoint: Path) -> None:
    """Record the digests of a checkpoint's files in it, after all of them are written, and flush it to the disk.

    For 460 MB, hashing takes 0.30 s, as the files are still in memory, and flushing 0.2 s.
    """
    settle(checkpoint)
    write_text(checkpoint / COMPLETE_MARK, json.dumps(_digests(checkpoint)))
    sync(checkpoint.parent)


def has_checkpoint(folder: Path) -> bool:
    """Return whether a folder contains a checkpoint that was completed; its files are not checked."""
    return any(map(_is_marked, _checkpoints(folder)))


def last_checkpoint(folder: Path, with_best: bool = False) -> Path | None:
    """Return the newest completed checkpoint in a folder, None if there is none; set damaged ones aside.

    `with_best`: the best checkpoint so far must be undamaged as well.
    """
    for checkpoint in sorted(filter(_is_marked, _checkpoints(folder)), key=_step, reverse=True):
        if problem := damage(checkpoint) or (_damage_of_best(checkpoint) if with_best else None):
            aside = folder / DAMAGED / checkpoint.name
            aside.parent.mkdir(exist_ok=True)
            remove(aside)
            checkpoint.rename(aside)
            log.warning("%s is damaged (%s): it is now %s, and the one before it is used", checkpoint, problem, aside)
        else:
            return checkpoint
    return None


def damage(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, None if its files are those recorded and loading them runs no code."""
    try:
        recorded: dict[str, str | int] = json.loads((checkpoint / COMPLETE_MARK).read_text(encoding="utf-8"))
        present = _digests(checkpoint)
        for name in sorted(recorded.keys() | present.keys()):
            kept = recorded.get(name)
            # earlier versions recorded sizes
            found = (checkpoint / name).stat().st_size if isinstance(kept, int) else present.get(name)
            if found != kept:
                return f"{name} is not as it was written"
        TrainerState.load_from_json(str(checkpoint / STATE))
        return _foreign_code(checkpoint)
    except Exception as error:  # damaged files raise exceptions of many kinds
        return shorten(f"{type(error).__name__}: {error}")


def _foreign_code(checkpoint: Path) -> str | None:
    """Return what would run code other than the library's on loading, None if nothing would."""
    modules = checkpoint / "modules.json"
    for module in json.loads(modules.read_text(encoding="utf-8")) if modules.exists() else []:
        if not str(module["type"]).startswith(LIBRARY):
            return f"modules.json names {module['type']}"
    with safe_globals():  # of NumPy, for the states of random number generators
        for path in (path for pattern in PICKLES for path in checkpoint.rglob(pattern) if path.name != NOT_LOADED):
            try:
                torch.load(path, "cpu", weights_only=True, mmap=True)  # reads no tensors
            except Exception as error:
                return f"{path.name} is not a file of plain tensors: {type(error).__name__}"
    return None


def _damage_of_best(checkpoint: Path) -> str | None:
    best = best_checkpoint(checkpoint.parent, TrainerState.load_from_json(str(checkpoint / STATE)))
    if best is None or best == checkpoint:
        return None
    problem = damage(best)
    return problem and f"its best checkpoint {best.name}: {problem}"


def best_checkpoint(folder: Path, state: TrainerState) -> Path | None:
    """Return the path of the best checkpoint in a folder, None if there is none yet.

    The path in the state is absolute: it would be wrong in a folder that was moved or copied.
    """
    return None if state.best_global_step is None else folder / f"checkpoint-{state.best_global_step}"


@main_process_only
def delete_incomplete(folder: Path) -> None:
    """Delete the remains of checkpoints whose writing was interrupted; set aside a file in place of the folder."""
    if folder.is_file():
        log.warning("%s: expected a folder, found a file: it is now %s", folder, set_aside(folder))
    for checkpoint in _checkpoints(folder):
        if not _is_marked(checkpoint):
            remove(checkpoint)


@main_process_only
def delete_checkpoints(folder: Path) -> None:
    """Delete the folder of checkpoints; of a link, what this module has written into the linked folder."""
    if folder.is_symlink():
        for path in (*_checkpoints(folder), folder / DAMAGED):
            remove(path)
    else:
        remove(folder)


def _digests(checkpoint: Path) -> dict[str, str]:
    return {name: digest for name, digest in file_digests(checkpoint).items() if name != COMPLETE_MARK}


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal()]


def _is_marked(checkpoint: Path) -> bool:
    return (checkpoint / COMPLETE_MARK).exists()


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
