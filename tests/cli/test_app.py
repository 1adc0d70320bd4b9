"""The command line: one sentence and an exit code for a mistake, a run of its own for each job of a multirun."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from src.cli import CONF, Parser, parser_command
from src.cli.app import quote_value

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def train(tmp_path: Path, tiny_encoder_folder: Path, pairs_file: Path) -> Command:
    """Run `python -m src.train` in an empty folder with a tiny encoder."""
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent), "OMP_NUM_THREADS": "1"}

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        tiny = ["model=hub", "model.name=tests/tiny", f"model.path={tiny_encoder_folder}", "trainer.batch_size=8"]
        data = ["data=pairs", f"data.train={pairs_file}", f"data.dev={pairs_file}", "name=tiny"]
        line = [sys.executable, "-m", "src.train", *tiny, *data, *arguments]
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)

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


@pytest.mark.parametrize("name", ["문장.csv", "pairs (1).csv", "it's.csv", 'the "best".csv', "a=b&c.csv", "plain.csv"])
def test_any_file_name_reaches_the_configuration_as_it_is(name: str) -> None:
    assert OverridesParser.create().parse_override(quote_value(f"pairs={name}")).value() == name


@pytest.mark.parametrize(
    "argument",
    ["trainer.seed=1,2", "data.sources=[hub]", "+experiment=a", "~loss", "pairs=", "a='문장'", "-m", "--x=문"],
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
    assert capsys.readouterr().err.startswith("a/b: expected a file or folder of the right kind that this user may use")
