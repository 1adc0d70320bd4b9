"""The newest complete checkpoint counts; incomplete ones are deleted before a training, not by looking."""

from pathlib import Path

import pytest

from src.training.checkpoints import (
    COMPLETE_MARK,
    delete_checkpoints,
    delete_incomplete,
    last_checkpoint,
    mark_complete,
)


def write(folder: Path, step: int, complete: bool = True) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_text("weights")
    if complete:
        mark_complete(checkpoint)
    return checkpoint


def test_the_newest_complete_checkpoint_is_found_and_looking_deletes_nothing(tmp_path: Path) -> None:
    write(tmp_path, 84)
    newest = write(tmp_path, 168)
    incomplete = write(tmp_path, 1000, complete=False)
    (tmp_path / "checkpoint-best").mkdir()
    assert last_checkpoint(tmp_path) == newest
    assert incomplete.exists()
    delete_incomplete(tmp_path)
    assert newest.exists() and not incomplete.exists()


@pytest.mark.parametrize("damage", ["cut off", "file missing", "mark missing", "mark cut off", "mark of another kind"])
def test_a_damaged_checkpoint_is_passed_over(damage: str, tmp_path: Path) -> None:
    good, damaged = write(tmp_path, 84), write(tmp_path, 168)
    path = damaged / (COMPLETE_MARK if "mark" in damage else "model.safetensors")
    if "missing" in damage:
        path.unlink()
    else:
        path.write_text("[]" if "kind" in damage else "{")
    assert last_checkpoint(tmp_path) == good


def test_without_a_checkpoint_there_is_none_to_find_or_delete(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "none") is None
    delete_incomplete(tmp_path / "none")
    delete_checkpoints(tmp_path / "none")


def test_only_the_main_process_deletes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "checkpoints", 84)
    monkeypatch.setenv("RANK", "1")
    delete_checkpoints(tmp_path / "checkpoints")
    assert (tmp_path / "checkpoints").exists()
    monkeypatch.setenv("RANK", "0")
    delete_checkpoints(tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()
