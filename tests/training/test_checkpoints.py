"""The newest undamaged checkpoint counts; damaged ones are set aside, and loading one runs no code."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import TrainerState
from transformers.trainer_utils import get_last_checkpoint, rotate_checkpoints

from src.training.checkpoints import (
    COMPLETE_MARK,
    delete_checkpoints,
    delete_incomplete,
    has_checkpoint,
    last_checkpoint,
    mark_complete,
)


def write(folder: Path, step: int, complete: bool = True, best: int | None = None) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    save_file({"weight": torch.arange(100.0)}, checkpoint / "model.safetensors")
    torch.save({"state": {0: {"step": torch.tensor(1.0)}}}, checkpoint / "optimizer.pt")
    torch.save({"numpy": np.random.get_state()}, checkpoint / "rng_state.pth")
    (checkpoint / "modules.json").write_text('[{"type": "sentence_transformers.models.Pooling"}]')
    TrainerState(global_step=step, best_global_step=best).save_to_json(str(checkpoint / "trainer_state.json"))
    if complete:
        mark_complete(checkpoint)
    return checkpoint


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_newest_complete_checkpoint_is_found_and_looking_deletes_nothing(tmp_path: Path) -> None:
    write(tmp_path, 84)
    newest = write(tmp_path, 168)
    incomplete = write(tmp_path, 1000, complete=False)
    (tmp_path / "checkpoint-best").mkdir()
    assert has_checkpoint(tmp_path)
    assert last_checkpoint(tmp_path) == newest
    assert incomplete.exists()
    delete_incomplete(tmp_path)
    assert newest.exists() and not incomplete.exists()


@pytest.mark.parametrize(
    "damage",
    ["flipped", "cut off", "file missing", "file added", "mark empty", "mark of another kind", "mark a folder"],
)
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"])
def test_a_damaged_checkpoint_is_named_and_set_aside_and_the_one_before_it_is_used(
    name: str, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.utils.console.LOGGER.propagate", True)
    good, damaged = write(tmp_path, 84), write(tmp_path, 168)
    path, mark = damaged / name, damaged / COMPLETE_MARK
    match damage.split():
        case ["flipped"]:
            flip(path)
        case ["cut", "off"]:
            os.truncate(path, 10)
        case ["file", "missing"]:
            path.unlink()
        case ["file", "added"]:
            (damaged / f"scaler{path.suffix}").write_text("")
        case ["mark", "empty"]:
            mark.write_text("")
        case ["mark", "of", *_]:
            mark.write_text("[]")
        case _:
            mark.unlink()
            mark.mkdir()
    assert last_checkpoint(tmp_path) == good
    assert f"{damaged} is damaged (" in caplog.text and "the one before it is used" in caplog.text
    assert get_last_checkpoint(str(tmp_path)) == str(good)
    rotate_checkpoints(str(tmp_path), 1)
    assert (tmp_path / "damaged" / damaged.name).is_dir()


def test_with_the_best_checkpoint_damaged_none_after_it_is_of_use(tmp_path: Path) -> None:
    best, _ = write(tmp_path, 84, best=84), write(tmp_path, 168, best=84)
    flip(best / "model.safetensors")
    assert last_checkpoint(tmp_path, with_best=True) is None


def test_the_best_checkpoint_is_not_needed_to_keep_the_last(tmp_path: Path) -> None:
    last = write(tmp_path, 168, best=84)
    assert last_checkpoint(tmp_path) == last


def test_a_checkpoint_of_an_earlier_version_is_known_by_the_sizes_of_its_files(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 84, complete=False)
    sizes = {path.name: path.stat().st_size for path in checkpoint.iterdir()}
    (checkpoint / COMPLETE_MARK).write_text(str(sizes).replace("'", '"'))
    assert last_checkpoint(tmp_path) == checkpoint
    os.truncate(checkpoint / "optimizer.pt", 10)
    assert last_checkpoint(tmp_path) is None


class Malicious:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "rng_state_1.pth", "1/model.bin"])
def test_a_checkpoint_with_code_in_a_pickle_is_set_aside_and_the_code_does_not_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = write(tmp_path, 84, complete=False)
    (checkpoint / name).parent.mkdir(exist_ok=True)
    (checkpoint / name).write_bytes(pickle.dumps(Malicious()))
    mark_complete(checkpoint)
    assert last_checkpoint(tmp_path) is None
    torch.save(Malicious(), tmp_path / "damaged" / "checkpoint-84" / name)
    (tmp_path / "damaged" / "checkpoint-84").rename(checkpoint)
    mark_complete(checkpoint)
    assert last_checkpoint(tmp_path) is None
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_with_a_module_class_of_its_own_is_set_aside(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 84, complete=False)
    (checkpoint / "modules.json").write_text('[{"type": "own.Module"}]')
    mark_complete(checkpoint)
    assert last_checkpoint(tmp_path) is None


def test_without_a_checkpoint_there_is_none_to_find_or_delete(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "none") is None and not has_checkpoint(tmp_path / "none")
    delete_incomplete(tmp_path / "none")
    delete_checkpoints(tmp_path / "none")


def test_a_linked_folder_of_checkpoints_is_emptied_of_them_and_stays(tmp_path: Path) -> None:
    write(tmp_path / "disk", 84)
    (tmp_path / "disk" / "notes.txt").touch()
    (tmp_path / "checkpoints").symlink_to(tmp_path / "disk")
    assert last_checkpoint(tmp_path / "checkpoints") == tmp_path / "checkpoints" / "checkpoint-84"
    delete_checkpoints(tmp_path / "checkpoints")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["notes.txt"]


def test_a_file_in_place_of_the_folder_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    delete_incomplete(tmp_path / "checkpoints")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints.damaged"]


def test_the_files_are_readable_for_everybody_that_the_umask_allows(tmp_path: Path) -> None:
    former = os.umask(0o027)
    try:
        checkpoint = write(tmp_path, 84, complete=False)
        (checkpoint / "model.safetensors").chmod(0o600)
        mark_complete(checkpoint)
    finally:
        os.umask(former)
    assert {path.stat().st_mode & 0o777 for path in checkpoint.iterdir()} == {0o640}


def test_only_the_main_process_deletes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "checkpoints", 84)
    monkeypatch.setenv("RANK", "1")
    delete_checkpoints(tmp_path / "checkpoints")
    assert (tmp_path / "checkpoints").exists()
    monkeypatch.setenv("RANK", "0")
    delete_checkpoints(tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()
