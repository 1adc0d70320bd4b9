"""Checkpoints of an unfinished training: which one to go on from, and whether it belongs to this training."""

import json
from pathlib import Path

from src.errors import UserError
from src.files import remove, replacing
from src.provenance import differences

WHOLE = "whole.json"
"""File that is written last and holds the size of every other: a checkpoint that has less was cut off."""
IDENTITY = "training.json"


def mark_whole(checkpoint: Path) -> None:
    """Write down what a checkpoint consists of, now that all of it is written."""
    (checkpoint / WHOLE).write_text(json.dumps(_sizes(checkpoint)), encoding="utf-8")


def is_whole(checkpoint: Path) -> bool:
    """Return whether all files of a checkpoint are there in their full size."""
    try:
        written: dict[str, int] = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        return written.items() <= _sizes(checkpoint).items()
    except (OSError, ValueError):
        return False


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != WHOLE)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


class Checkpoints:
    """The checkpoints of one training in one folder; gone once it is finished."""

    def __init__(self, folder: Path, identity: dict[str, str]) -> None:
        self.folder = folder
        self.identity = identity
        """What the training depends on (settings, digest of the pairs), by name."""

    def last(self) -> Path | None:
        """Return the newest whole checkpoint; the remains of ones that were cut off are removed."""
        found = sorted(self.folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        whole = [path for path in found if is_whole(path)]
        for broken in set(found) - set(whole):
            remove(broken)
        return whole[-1] if whole else None

    def unfinished_run(self, resume: str) -> str | None:
        """Return the run id of the unfinished training in the folder, None if there is none to go on with.

        One that was killed before its first checkpoint starts at its first step, in the same run. With `resume` = never
        what is unfinished is removed, with if_same where it is another training.

        Raises:
            UserError: the checkpoints are of another training.

        """
        note = self.folder / IDENTITY
        former = json.loads(note.read_text(encoding="utf-8")) if note.exists() and resume != "never" else None
        changed = former and differences(former.get("identity", {}), self.identity)
        if not former or (changed and (resume == "if_same" or self.last() is None)):
            self.remove()
            return None
        if changed:
            raise UserError(
                f"{self.folder} holds an unfinished training of other settings ({changed}): set trainer.resume=never to"
                " start anew, or restore them to go on."
            )
        return str(former["run_id"])

    def belong_to(self, run_id: str) -> None:
        """Write down to which run the checkpoints will belong."""
        with replacing(self.folder / IDENTITY) as draft:
            draft.write_text(json.dumps({"identity": self.identity, "run_id": run_id}), encoding="utf-8")

    def remove(self) -> None:
        """Remove the folder, the note last: as long as it is there the training counts as unfinished."""
        for checkpoint in self.folder.glob("checkpoint-*"):
            remove(checkpoint)
        remove(self.folder)
