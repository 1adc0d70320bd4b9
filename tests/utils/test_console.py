"""Messages on the terminal and in log files."""

import logging
import re
from pathlib import Path

import pytest

from src.utils.console import log_table, log_to_file, quiet_console, setup_logging
from src.utils.errors import TrainingStopped, UserError

log = logging.getLogger("src.tests")
TIME = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "


@pytest.fixture(autouse=True)
def _logging() -> None:
    setup_logging()


def test_messages_are_printed_as_they_are_and_kept_with_their_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_to_file(tmp_path / "new" / "train.log"):
        log.info("[bold]이름[/bold] %s", "x" * 200)
        log.warning("odd")
    log.info("outside")
    assert capsys.readouterr().out.splitlines() == [f"[bold]이름[/bold] {'x' * 200}", "odd", "outside"]
    lines = (tmp_path / "new" / "train.log").read_text(encoding="utf-8").splitlines()
    assert re.match(TIME + r"INFO +\[bold\]이름", lines[0]) and re.match(TIME + "WARNING odd$", lines[1])
    assert len(lines) == 2


def test_a_second_block_appends(tmp_path: Path) -> None:
    for message in ("first", "second"):
        with log_to_file(tmp_path / "train.log"):
            log.info(message)
    assert [line.split()[-1] for line in (tmp_path / "train.log").read_text().splitlines()] == ["first", "second"]


def test_a_table_is_drawn_on_the_terminal_and_aligned_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_to_file(tmp_path / "train.log"):
        log_table("run 1", {"a": "one", "longer": "two"})
    assert "longer  two" in capsys.readouterr().out
    assert (tmp_path / "train.log").read_text().endswith("run 1\na       one\nlonger  two\n")


def test_in_a_quiet_block_only_files_opened_within_it_get_messages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_to_file(tmp_path / "sweep.log"):
        with quiet_console(), log_to_file(tmp_path / "train.log"):
            log.info("of the trial")
        with quiet_console():
            log.warning("before there is a file")
        log.info("of the sweep")
    assert capsys.readouterr() == ("of the sweep\n", "")
    assert (tmp_path / "train.log").read_text().endswith("of the trial\n")
    assert "of the trial" not in (tmp_path / "sweep.log").read_text()


@pytest.mark.parametrize(
    ("error", "entry"),
    [
        (UserError("expected a, found b: do c."), "ERROR   expected a, found b: do c.\n"),
        (TrainingStopped("pruned"), "ERROR   pruned\n"),
        (ValueError("ours"), "ValueError: ours\n"),
        (KeyboardInterrupt(), "ERROR   Interrupted.\n"),
    ],
)
def test_an_error_is_the_last_entry(error: BaseException, entry: str, tmp_path: Path) -> None:
    with pytest.raises(type(error)), log_to_file(tmp_path / "train.log"):
        raise error
    text = (tmp_path / "train.log").read_text()
    assert text.endswith(entry)
    assert ("Traceback" in text) == isinstance(error, ValueError)


def test_other_processes_of_torchrun_write_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with log_to_file(tmp_path / "train.log"):
        log.info("from rank 1")
    assert not (tmp_path / "train.log").exists()


def test_a_log_file_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "train.log").mkdir()
    with pytest.raises(UserError, match=r"train\.log: expected a file that can be appended to, found Is a directory"):
        log_to_file(tmp_path / "train.log").__enter__()


def test_control_characters_are_visible_on_the_terminal_and_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="2J"), log_to_file(tmp_path / "train.log"):
        log.info("방\x1b]52;c;x\x07\u202e")
        log_table("run \x1b[2J", {"a": "one\x9b", "b": "two"})
        raise ValueError("\x1b[2J")
    printed, written = capsys.readouterr().out, (tmp_path / "train.log").read_text(encoding="utf-8")
    for text in (printed, written):
        assert r"방\x1b]52;c;x\x07\u202e" in text and r"one\x9b" in text and r"run \x1b[2J" in text
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)
    assert "ValueError: \\x1b[2J" in written
