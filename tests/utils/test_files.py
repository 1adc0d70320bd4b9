"""Files are whole or not there: on failure, on a full disk, after kill -9, and with two at work."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

import src.train
from src.config import Config
from src.prediction.tables import write_table
from src.training.checkpoints import last_checkpoint
from src.utils.errors import UserError
from src.utils.files import atomic_write, exclusive_lock, remove

DEAD = 2**22 + 1
"""No process has a number above 2**22."""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_failed_write_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("former")
    with pytest.raises(ValueError, match="half"), atomic_write(path) as temporary:
        temporary.write_text("new")
        raise ValueError("half way")
    assert path.read_text() == "former"
    assert names(tmp_path) == {"file"}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for text in ("former", "new"):
        with atomic_write(tmp_path / "model") as temporary:
            temporary.mkdir()
            (temporary / text).touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "new"]


def test_what_a_killed_process_was_writing_is_removed_and_that_of_a_live_one_stays(tmp_path: Path) -> None:
    (tmp_path / f".file.{DEAD}.tmp").touch()
    (tmp_path / f".file.{DEAD}.tmp-journal").touch()
    (tmp_path / f".file.{os.getppid()}.tmp").touch()
    (tmp_path / f".file.csv.{DEAD}.tmp").touch()
    with atomic_write(tmp_path / "file") as temporary:
        temporary.touch()
    left = {f".file.{os.getppid()}.tmp", f".file.csv.{DEAD}.tmp", "file"}
    assert names(tmp_path) == left


def test_a_folder_whose_replacement_was_killed_between_two_names_is_there_again(tmp_path: Path) -> None:
    (tmp_path / f".model.{DEAD}.former.tmp").mkdir()
    with pytest.raises(ValueError), atomic_write(tmp_path / "model"):
        raise ValueError
    assert names(tmp_path) == {"model"}


def test_a_link_stays_a_link_and_its_target_gets_the_new_content(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere" / "file")
    for text in ("first", "second"):
        with atomic_write(tmp_path / "file") as temporary:
            temporary.write_text(text)
        assert (tmp_path / "elsewhere" / "file").read_text() == text
    assert (tmp_path / "file").is_symlink()
    assert names(tmp_path / "elsewhere") == {"file"}


def test_a_linked_folder_is_removed_as_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "elsewhere")
    remove(tmp_path / "folder")
    assert names(tmp_path) == {"elsewhere"}


def test_a_folder_in_place_of_a_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "file" / "mine").mkdir(parents=True)
    with atomic_write(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "file.damaged" / "mine").is_dir()


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o007, 0o660, 0o770)])
def test_written_files_follow_the_umask(umask: int, file: int, folder: int, tmp_path: Path) -> None:
    former = os.umask(umask)
    try:
        with atomic_write(tmp_path / "model") as temporary:
            temporary.mkdir(mode=0o700)
            (temporary / "weights").touch(mode=0o600)
    finally:
        assert os.umask(former) == umask
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"model": folder, "weights": file}


def test_new_content_is_on_the_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    flush, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (events.append(_name(descriptor)), flush(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("renamed"), replace(*paths)))
    with atomic_write(tmp_path / "model") as temporary:
        (temporary / "inner").mkdir(parents=True)
        (temporary / "inner" / "weights").touch()
    written = [name if "." not in name else "model" for name in events]
    assert set(written[:3]) == {"weights", "inner", "model"}
    assert written[3:] == ["renamed", tmp_path.name]


def _name(descriptor: int) -> str:
    return Path(f"/proc/self/fd/{descriptor}").readlink().name


def test_a_lock_left_by_a_killed_process_can_be_taken_by_whoever_may_write_the_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with exclusive_lock(tmp_path):
        assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o666
    (tmp_path / ".owner").touch(mode=0o400)
    with exclusive_lock(tmp_path):
        assert f"process {os.getpid()}" in (tmp_path / ".owner").read_text()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system of a size, such as 256k, or give it another size."""
    path = tmp_path / "disk"
    path.mkdir()

    def mount(size: str) -> Path:
        options = f"remount,size={size}" if path.is_mount() else f"size={size}"
        try:
            command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no file system can be mounted here: {error}")
        return path

    yield mount
    if path.is_mount():
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def small_disk(disk: Callable[[str], Path]) -> Path:
    """A file system of 256 KiB."""
    return disk("256k")


def write_text(temporary: Path) -> None:
    temporary.write_text("x" * 500_000)


def write_weights(temporary: Path) -> None:
    temporary.mkdir()
    save_file({"weight": torch.zeros(125_000)}, temporary / "model.safetensors")


def write_state(temporary: Path) -> None:
    torch.save({"weight": torch.zeros(125_000)}, temporary)


@pytest.mark.parametrize("write", [write_text, write_weights, write_state])
def test_a_full_disk_is_one_sentence_with_path_and_bytes_and_the_former_file_is_kept(
    write: Callable[[Path], None], small_disk: Path
) -> None:
    path = small_disk / "result"
    path.write_text("former")
    with pytest.raises(UserError) as caught, atomic_write(path, 500_000) as temporary:
        write(temporary)
    assert f"{path}: expected room for 500,000 bytes" in str(caught.value)
    assert path.read_text() == "former"
    assert names(small_disk) == {"result"}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_table_on_a_full_disk_is_one_sentence_with_path_and_bytes(ending: str, small_disk: Path) -> None:
    path = small_disk / f"scored.{ending}"
    path.write_text("former")
    table = pa.table({"sentence1": [os.urandom(2000).hex() for _ in range(200)]})
    with pytest.raises(UserError, match=rf"{path}: expected room for more than [\d,]+ bytes"):
        write_table(path, table.schema, iter([table]))
    assert path.read_text() == "former"
    assert names(small_disk) == {path.name}


def test_a_training_without_room_for_a_checkpoint_resumes_once_there_is_room(
    disk: Callable[[str], Path], tiny_config: Callable[..., Config]
) -> None:
    undisturbed = src.train.run(tiny_config("trainer.precision=fp32", "trainer.used_rows=false"))
    config = tiny_config("trainer.precision=fp32", "trainer.used_rows=false", f"folder={disk('12m')}")
    checkpoints = Path(config.folder) / "checkpoints"
    with pytest.raises(UserError, match=rf"{checkpoints}/checkpoint-9: expected room for 4,[\d,]+ bytes"):
        src.train.run(config)
    assert names(checkpoints) == {"checkpoint-3", "checkpoint-6"}
    assert last_checkpoint(checkpoints) == checkpoints / "checkpoint-6"
    disk("64m")
    resumed = src.train.run(config)
    assert resumed.scores == undisturbed.scores
    assert not checkpoints.exists()


def test_another_error_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_write(tmp_path / "file"):
        raise PermissionError(13, "Permission denied")


def test_a_folder_in_use_is_refused_and_free_again_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError), exclusive_lock(tmp_path):
        with (
            pytest.raises(UserError, match=rf"process {os.getpid()} on .* since .* running there"),
            exclusive_lock(tmp_path),
        ):
            pytest.fail("two at once")
        raise ValueError
    assert not list(tmp_path.iterdir())
    with exclusive_lock(tmp_path):
        pass
