"""A result is replaced as a whole: killed at any moment, either the former one or the new one is complete."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from src.utils import staging
from src.utils.staging import READY, roll_forward, staged

NAMES = ("config.yaml", "metrics.json", "model/weights", "plots/curve.png")


class Killed(BaseException):
    """Stands for kill -9: every later call of a counted function raises it again, so that nothing is cleaned up."""


def write(folder: Path, text: str, names: tuple[str, ...] = NAMES) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def replace(folder: Path, text: str = "new") -> None:
    with staged(folder) as hidden:
        write(hidden, text)


def test_all_entries_are_replaced_and_others_stay(tmp_path: Path) -> None:
    write(tmp_path, "former", (*NAMES, "model/of an earlier version", "state.json"))
    replace(tmp_path)
    assert content(tmp_path) == {**dict.fromkeys(NAMES, "new"), "state.json": "former"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_failure_leaves_the_former_entries(tmp_path: Path) -> None:
    write(tmp_path, "former")
    with pytest.raises(ValueError, match="half"), staged(tmp_path) as hidden:
        write(hidden, "new", NAMES[:2])
        raise ValueError("half way")
    assert content(tmp_path) == dict.fromkeys(NAMES, "former")


@pytest.mark.parametrize("moment", range(32))
def test_killed_at_any_moment_one_of_both_is_complete(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change of a name or a file below the folder is counted; the process dies before the one with the number."""
    write(tmp_path, "former")
    done = 0

    def killing(function: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object, **options: object) -> object:
            nonlocal done
            if done >= moment:
                raise Killed
            done += 1
            return function(*arguments, **options)

        return called

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync"):
            patch.setattr(os, name, killing(getattr(os, name)))
        with suppress(Killed):
            replace(tmp_path)
    roll_forward(tmp_path)
    found = {name: (tmp_path / name).read_text() for name in NAMES}
    assert found in (dict.fromkeys(NAMES, "former"), dict.fromkeys(NAMES, "new"))
    replace(tmp_path, "newest")
    assert content(tmp_path) == dict.fromkeys(NAMES, "newest")


def test_a_linked_folder_stays_a_link_with_the_new_content(tmp_path: Path) -> None:
    folder, disk = tmp_path / "result", tmp_path / "disk"
    for text in ("former", "new"):
        folder.mkdir(exist_ok=True)
        if text == "former":
            (folder / "model").symlink_to(disk / "model")
            disk.mkdir()
        replace(folder, text)
        assert (folder / "model").is_symlink()
        assert content(disk) == {"model/weights": text}
    assert content(folder)["metrics.json"] == "new"


def test_files_of_somebody_else_in_a_linked_folder_are_not_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.utils.console.LOGGER.propagate", True)
    folder, home = tmp_path / "result", tmp_path / "home"
    folder.mkdir()
    write(home, "mine", ("diary", "weights"))
    (folder / "model").symlink_to(home)
    replace(folder)
    assert content(home) == {"diary": "mine", "weights": "mine"}
    assert not (folder / "model").is_symlink() and (folder / "model" / "weights").read_text() == "new"
    assert f"model: the link to {home} is replaced with a folder" in caplog.text


def test_an_interrupted_replacement_from_somebody_else_writes_through_no_link(tmp_path: Path) -> None:
    folder, home = tmp_path / "result", tmp_path / "home"
    write(home, "mine", ("model/weights", "profile"))
    write(folder / READY, "theirs", ("model/weights", "config.yaml"))
    (folder / "model").symlink_to(home / "model")
    (folder / "config.yaml").symlink_to(home / "profile")
    roll_forward(folder)
    assert content(home) == {"model/weights": "mine", "profile": "mine"}


def test_a_file_in_place_of_a_folder_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    (tmp_path / "config.yaml").mkdir()
    replace(tmp_path)
    assert content(tmp_path) == {**dict.fromkeys(NAMES, "new"), "model.damaged": "mine"}
    assert (tmp_path / "config.yaml.damaged").is_dir()


def test_the_new_content_is_on_the_disk_before_the_former_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    sync = staging.sync

    def noted(path: Path) -> None:
        flushed.append(path.name)
        sync(path)

    monkeypatch.setattr("src.utils.files.sync", noted)
    monkeypatch.setattr(staging, "sync", noted)
    move = staging._move
    before: list[set[str]] = []
    monkeypatch.setattr(staging, "_move", lambda *arguments: (before.append(set(flushed)), move(*arguments)))
    replace(tmp_path)
    assert {"weights", "model", "metrics.json", "config.yaml", "curve.png", "plots", tmp_path.name} <= before[0]
