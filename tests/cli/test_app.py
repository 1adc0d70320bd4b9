"""The command line: one sentence and an exit code for a mistake, a run of its own for each job of a multirun."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from src.cli import CONF, Parser, handle_errors, hydra_command, parser_command
from src.cli.overrides import chosen_options, prepare_overrides, quote_value, swept_keys
from src.config import Config
from src.utils.errors import UserError

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def train(tmp_path: Path, tiny_encoder_folder: Path, pairs_file: Path) -> Command:
    """Run `python -m src.train` in an empty folder with a tiny encoder."""

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(CONF.parent), "OMP_NUM_THREADS": "1"}
        tiny = ["model=hub", "model.name=tests/tiny", f"model.path={tiny_encoder_folder}", "trainer.batch_size=8"]
        data = ["data=pairs", f"data.train={pairs_file}", f"data.dev={pairs_file}", "name=tiny"]
        line = [sys.executable, "-m", "src.train", *tiny, *data, *arguments]
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, errors="replace")

    return command


@pytest.mark.parametrize("argument", ["trainer.warmup=0.1", "trainer.warmup_ratio=1.5", "data.train=missing.csv"])
def test_a_mistake_is_one_sentence_and_exit_code_2(argument: str, train: Command, tmp_path: Path) -> None:
    done = train(argument)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "mlruns").exists()


def test_each_job_of_a_multirun_is_a_run_of_its_own(train: Command, tmp_path: Path) -> None:
    done = train("trainer.learning_rate=1e-3,2e-3", "hydra.mode=MULTIRUN")
    assert done.returncode == 0, done.stderr
    written = sorted((tmp_path / "experiments" / "tiny" / "multirun").glob("*/metrics.json"))
    assert len({json.loads(path.read_text())["run_id"] for path in written}) == 2
    assert "Spearman" in done.stdout


def folders(path: Path) -> set[Path]:
    return {each for each in path.rglob("*") if each.is_dir()}


@pytest.mark.parametrize(
    "argument",
    ["name=../../outside", "hydra.mode=MULTIRUN name=../up,a.", "hydra.run.dir=a/b name=a."],
)
def test_what_is_refused_leaves_no_folder(argument: str, train: Command, tmp_path: Path) -> None:
    before = folders(tmp_path.parent)
    done = train(*argument.split())
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert folders(tmp_path.parent) == before
    assert not (tmp_path / "multirun.yaml").exists()


def test_a_failing_job_of_a_multirun_stops_no_other(train: Command, tmp_path: Path) -> None:
    done = train("hydra.mode=MULTIRUN", "trainer.batch_size=0,8", "name=1.10", "trainer.max_steps=1")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "these failed: 0 (trainer.batch_size=0)" in done.stderr.splitlines()[-1]
    assert (tmp_path / "experiments" / "1.10" / "multirun" / "1" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("values", "code", "ran"),
    [((UserError("no"), None), 2, 2), ((ValueError("ours"), None), 1, 2), ((KeyboardInterrupt(), None), 130, 1)],
)
def test_only_an_interruption_ends_a_multirun(
    values: tuple[BaseException | None, ...],
    code: int,
    ran: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started: list[str] = []

    def run(config: Config) -> None:
        started.append(config.folder)
        if error := values[len(started) - 1]:
            raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["src/train.py", "-m", "trainer.seed=1,2", "name=방"])
    with pytest.raises(SystemExit) as left:
        hydra_command(run)()
    assert (left.value.code, len(started)) == (code, ran)
    assert started[0] == str(tmp_path / "experiments" / "방" / "multirun" / "0")
    assert ("ValueError: ours" in capsys.readouterr().err) == (code == 1)


@pytest.mark.parametrize("encoding", ["cp949", "ascii"])
def test_a_terminal_without_unicode_gets_replacements(
    encoding: str, train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = train("name=방é", "trainer.max_steps=1")
    assert done.returncode == 0, done.stderr
    assert "?" in done.stdout
    assert "방é" in (tmp_path / "experiments" / "방é" / "train.log").read_text(encoding="utf-8")
    done = train("name=방é!")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_no_escape_sequence_reaches_the_terminal_or_the_log(train: Command, tmp_path: Path) -> None:
    (tmp_path / "p\x1b]0;x\x07.csv").write_bytes((tmp_path / "pairs.csv").read_bytes())
    done = train("data.train=p\x1b]0;x\x07.csv", "trainer.max_steps=1")
    log = (tmp_path / "experiments" / "tiny" / "train.log").read_text(encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert r"p\x1b]0;x\x07.csv" in done.stdout and r"p\x1b]0;x\x07.csv" in log
    refused = train("data.train=none\x1b]0;x\x07", "+\x1b]0;x\x07=1")
    assert "\x1b" not in done.stdout + done.stderr + log + refused.stderr


def test_a_folder_of_another_user_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, handle_errors():
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "model"))
    assert left.value.code == 2
    assert f"{tmp_path}/model: expected" in capsys.readouterr().err
    with pytest.raises(OSError, match="Connection"), handle_errors():
        raise OSError(errno.ECONNRESET, "Connection reset")


def test_a_command_runs_outside_of_the_main_thread(capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[int] = []
    command = parser_command(lambda: ran.append(1), Parser("test"))
    thread = Thread(target=command, args=([],))
    thread.start()
    thread.join()
    assert ran == [1], capsys.readouterr().err


@pytest.mark.parametrize("name", ["문장.csv", "pairs (1).csv", "it's.csv", 'the "best".csv', "a=b&c.csv", "plain.csv"])
def test_any_file_name_reaches_the_configuration_as_it_is(name: str) -> None:
    assert OverridesParser.create().parse_override(quote_value(f"pairs={name}")).value() == name


@pytest.mark.parametrize("key", ["name", "model.revision", "data.train", "sweep.storage", "tuned", "+tuned", "pairs"])
@pytest.mark.parametrize("text", ["1.10", "2024_01", "1e5", "12e4567", "007", "true", "nan", "-5", "C:\\data\\"])
def test_a_text_stays_as_it_was_typed(key: str, text: str) -> None:
    assert OverridesParser.create().parse_override(quote_value(f"{key}={text}")).value() == text


def test_null_is_a_name_but_leaves_out_what_may_be_missing() -> None:
    assert quote_value("name=null") == 'name="null"'
    assert quote_value("model.revision=null") == "model.revision=null"


def test_each_value_of_a_multirun_stays_as_it_was_typed() -> None:
    arguments = ["-m", "name=1.10,방,b", "trainer.seed=1,2", "data.sources=[hub,local]", "hydra.run.dir=2024"]
    prepared = ["-m", 'name="1.10","방",b', "trainer.seed=1,2", "data.sources=[hub,local]", 'folder="2024"']
    assert prepare_overrides(arguments) == prepared
    assert swept_keys(prepared) == {"name", "trainer.seed"}
    assert chosen_options("tuned", ['+tuned="my name"', "tuned=a,b", "name=c"]) == {"my name", "a", "b"}


@pytest.mark.parametrize(
    "argument",
    [
        "trainer.seed=1,2",
        "data.sources=[hub]",
        "+experiment=a",
        "~loss",
        "pairs=",
        "a='문장'",
        "-m",
        "--x=문",
        "a=1.10",
    ],
)
def test_what_hydra_reads_already_is_left_alone(argument: str) -> None:
    assert quote_value(argument) == argument


PRINTING = """
import logging, sys
from rich.progress import track
from src.cli import Parser, parser_command
from src.utils.console import console, log_table

def run():
    for _ in track(range(3), console=console):
        print("a line", flush=True)
        logging.getLogger("src.a").info("방")
    log_table("title", {"a": "b"})
    print("note", file=sys.stderr)
    with open(sys.argv[1], "w") as file:
        file.write("done")

parser_command(run, Parser("x"))([])
"""


@pytest.mark.parametrize("streams", ["> /dev/full", ">&-", "| true", "> /dev/full 2> /dev/full", "<&- >&- 2>&-"])
def test_no_command_fails_because_it_cannot_print(streams: str, tmp_path: Path) -> None:
    (tmp_path / "printing.py").write_text(PRINTING)
    line = f"{{ {sys.executable} printing.py out; echo $? > code; }} {streams}"
    subprocess.run(["sh", "-c", line], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(CONF.parent)}, check=False)
    assert (tmp_path / "out").read_text() == "done"
    assert (tmp_path / "code").read_text() == "0\n"


@pytest.mark.parametrize(("former", "ignored"), [(signal.SIG_IGN, True), (lambda *_: None, False)])
def test_a_hangup_interrupts_a_command_unless_it_runs_under_nohup(former: Any, ignored: bool) -> None:
    def run() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        reached.append(True)

    reached: list[bool] = []
    before = signal.signal(signal.SIGHUP, former)
    try:
        if ignored:
            parser_command(run, Parser("x"))([])
        else:
            with pytest.raises(SystemExit) as left:
                parser_command(run, Parser("x"))([])
            assert left.value.code == 130
    finally:
        signal.signal(signal.SIGHUP, before)
    assert bool(reached) == ignored


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "a/b"), IsADirectoryError(21, "Is", "a/b")])
def test_a_file_of_another_user_or_kind_is_one_sentence(error: OSError, capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        parser_command(run, Parser("x"))([])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("a/b: expected a file or folder of the right kind that this user may")
