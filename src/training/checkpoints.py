"""Checkpoints of an unfinished training: which one to go on from, and whether it belongs to this training."""

import json
import shutil
from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from src.errors import UserError
from src.files import replacing

WHOLE = "whole"
"""Marker file that is written last: a checkpoint without it was cut off."""
IDENTITY = "training.json"


class MarkWhole(TrainerCallback):
    """Marks each checkpoint once all of it is written."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Write the marker."""
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()


class Checkpoints:
    """The checkpoints of one training in one folder; gone once it is finished."""

    def __init__(self, folder: Path, identity: dict[str, str]) -> None:
        self.folder = folder
        self.identity = identity
        """What the training depends on (configuration, pairs), by name, each with its hash."""

    def last(self) -> Path | None:
        """Return the newest whole checkpoint; the remains of ones that were cut off are removed."""
        found = sorted(self.folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        whole = [path for path in found if (path / WHOLE).exists()]
        for broken in set(found) - set(whole):
            shutil.rmtree(broken)
        return whole[-1] if whole else None

    def unfinished_run(self, resume: str) -> str | None:
        """Return the run id of the unfinished training in the folder, None if there is none to go on with.

        With `resume` = never its checkpoints are removed.

        Raises:
            UserError: the unfinished training is another one.

        """
        note = self.folder / IDENTITY
        if resume == "never" or self.last() is None or not note.exists():
            self.remove()
            return None
        former = json.loads(note.read_text(encoding="utf-8"))
        changed = [name for name, value in self.identity.items() if former.get(name) != value]
        if changed:
            raise UserError(
                f"{self.folder} holds an unfinished training whose {' and '.join(changed)} differ from now: set "
                "trainer.resume=never to start anew, or restore them to go on."
            )
        return str(former["run_id"])

    def belong_to(self, run_id: str) -> None:
        """Write down to which run the checkpoints will belong."""
        with replacing(self.folder / IDENTITY) as draft:
            draft.write_text(json.dumps({**self.identity, "run_id": run_id}), encoding="utf-8")

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
