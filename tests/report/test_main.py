"""The command `python -m src.report`: the plots of a finished run, without torch."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from src.cli import CONF, parser_command
from src.evaluation.result import Result
from src.report.__main__ import parser, run
from src.report.plots import plot_files
from src.utils.staging import READY

main = parser_command(run, parser())
TABLE = pd.DataFrame({"sentence1": ["방"] * 20, "sentence2": ["집"] * 20, "gold": [0.0, 1.0] * 10})


@pytest.mark.parametrize("shape", ["scored", "triplets"])
def test_the_plots_of_a_run_are_drawn_without_torch(shape: str, make_run: Callable[..., Path]) -> None:
    folder = make_run("one", 0.4, shape=shape)
    code = """
import sys
from pathlib import Path
from src.report.__main__ import run
run(Path(sys.argv[1]))
print({"torch", "transformers", "mlflow"} & set(sys.modules))
"""
    line = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(line, cwd=CONF.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert all((folder / name).is_file() for name in plot_files(Result.load(folder)))


@pytest.mark.parametrize("missing", ["metrics.json", "config.yaml", "curve.csv", "predictions.parquet"])
def test_an_unfinished_run_is_one_sentence_and_exit_code_2(
    missing: str, make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("one", TABLE.assign(predicted=TABLE["gold"]))
    (folder / missing).unlink()
    with pytest.raises(SystemExit) as left:
        main([str(folder)])
    assert left.value.code == 2
    assert f"expected a finished run, found no {missing}: train it first" in capsys.readouterr().err


@pytest.mark.parametrize("settings", ["trainer: {seed: '${oc.env:HOME}'}\npublished: {}", "name: x", "- 1"])
def test_settings_that_are_not_those_of_a_run_are_one_sentence(
    settings: str, make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("one", TABLE.assign(predicted=TABLE["gold"]))
    (folder / "config.yaml").write_text(settings)
    with pytest.raises(SystemExit) as left:
        main([str(folder)])
    assert left.value.code == 2
    assert f"{folder}/config.yaml: expected" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{", "a: [", "\0"])
@pytest.mark.parametrize("damaged", ["metrics.json", "config.yaml", "curve.csv", "predictions.parquet"])
def test_a_damaged_file_is_one_sentence_and_exit_code_2(
    damaged: str, content: str, make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("one", TABLE.assign(predicted=TABLE["gold"]))
    (folder / damaged).write_text(content)
    with pytest.raises(SystemExit) as left:
        main([str(folder)])
    assert left.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_replacement_that_was_interrupted_is_completed_first(make_run: Callable[..., Path]) -> None:
    folder = make_run("one", TABLE.assign(predicted=TABLE["gold"] / 2))
    new = make_run("new", TABLE.assign(predicted=TABLE["gold"] / 4))
    new.rename(folder / READY)
    run(folder)
    assert Result.load(folder).run_id == "new"
    assert pd.read_csv(folder / "plots" / "predictions.csv")["predicted"].max() == 0.25
