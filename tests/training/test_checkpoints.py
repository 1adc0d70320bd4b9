"""Which checkpoint a training goes on from."""

from pathlib import Path

import pytest

from src.errors import UserError
from src.training.checkpoints import WHOLE, Checkpoints

IDENTITY = {"configuration": "a1", "pairs": "b2"}


def write(folder: Path, step: int, whole: bool = True) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_text("weights")
    if whole:
        (checkpoint / WHOLE).touch()
    return checkpoint


def test_the_newest_whole_checkpoint_counts_and_a_cut_off_one_is_removed(tmp_path: Path) -> None:
    write(tmp_path, 84)
    newest = write(tmp_path, 168)
    broken = write(tmp_path, 1000, whole=False)
    assert Checkpoints(tmp_path, IDENTITY).last() == newest
    assert not broken.exists()


def test_the_same_training_finds_its_run(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    checkpoints.belong_to("run-1")
    write(tmp_path, 84)
    assert checkpoints.unfinished_run("auto") == "run-1"


def test_without_a_checkpoint_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", IDENTITY)
    checkpoints.belong_to("run-1")
    assert checkpoints.unfinished_run("auto") is None
    assert not checkpoints.folder.exists()


def test_never_removes_what_is_unfinished(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", IDENTITY)
    checkpoints.belong_to("run-1")
    write(checkpoints.folder, 84)
    assert checkpoints.unfinished_run("never") is None
    assert not checkpoints.folder.exists()


@pytest.mark.parametrize("changed", IDENTITY)
def test_another_training_is_refused_by_the_name_of_what_differs(changed: str, tmp_path: Path) -> None:
    Checkpoints(tmp_path, IDENTITY).belong_to("run-1")
    write(tmp_path, 84)
    with pytest.raises(UserError, match=f"whose {changed} differ"):
        Checkpoints(tmp_path, {**IDENTITY, changed: "other"}).unfinished_run("auto")
