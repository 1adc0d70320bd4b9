"""The command line: one sentence and an exit code for a mistake, a run of its own for each job of a multirun."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from src.cli import CONF
from src.cli.overrides import quote_value

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
