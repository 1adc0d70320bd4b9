"""Which checkpoint a training goes on from."""

from pathlib import Path

import pytest

from src.errors import UserError
from src.training.checkpoints import WHOLE, Checkpoints, mark_whole

IDENTITY = {"trainer.seed": "42", "pairs": "b2"}


def write(folder: Path, step: int, whole: bool = True) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_text("weights")
    if whole:
        mark_whole(checkpoint)
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


def test_a_training_without_a_checkpoint_yet_starts_anew_in_its_run(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", IDENTITY)
    checkpoints.belong_to("run-1")
    assert checkpoints.unfinished_run("auto") == "run-1"
    assert Checkpoints(checkpoints.folder, {"pairs": "c3"}).unfinished_run("auto") is None
    assert not checkpoints.folder.exists()


@pytest.mark.parametrize("damage", ["cut off", "file missing", "marker missing", "marker cut off"])
def test_a_damaged_checkpoint_is_passed_over(damage: str, tmp_path: Path) -> None:
    good, damaged = write(tmp_path, 84), write(tmp_path, 168)
    weights, marker = damaged / "model.safetensors", damaged / WHOLE
    (weights if "file" in damage or damage == "cut off" else marker).write_text("{")
    for path in (weights, marker):
        if damage == {weights: "file missing", marker: "marker missing"}[path]:
            path.unlink()
    assert Checkpoints(tmp_path, IDENTITY).last() == good
    assert not damaged.exists()


def test_never_removes_what_is_unfinished(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", IDENTITY)
    checkpoints.belong_to("run-1")
    write(checkpoints.folder, 84)
    assert checkpoints.unfinished_run("never") is None
    assert not checkpoints.folder.exists()


@pytest.mark.parametrize("changed", IDENTITY)
def test_another_training_is_refused_by_the_name_and_values_of_what_differs(changed: str, tmp_path: Path) -> None:
    Checkpoints(tmp_path, IDENTITY).belong_to("run-1")
    write(tmp_path, 84)
    other = Checkpoints(tmp_path, {**IDENTITY, changed: "other"})
    with pytest.raises(UserError, match=rf"\({changed} was {IDENTITY[changed]}, is other\): set trainer\.resume=never"):
        other.unfinished_run("auto")
    assert Checkpoints(tmp_path, IDENTITY).unfinished_run("if_same") == "run-1"
    assert other.unfinished_run("if_same") is None
    assert not tmp_path.exists()
