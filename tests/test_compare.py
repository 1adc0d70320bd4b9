"""The command `python -m src.compare`: output, recording, mistakes and imports."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src.cli import CONF, parser_command
from src.compare import parser, run
from src.comparison.report import FILES
from src.evaluation.metrics import SPEARMAN
from src.tracking.links import LOCAL, curves_page

MakeRun = Callable[..., Path]
STORE = "sqlite:///nowhere/mlflow.db"

main = parser_command(run, parser())


def test_the_verdict_is_printed_and_the_report_written(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(make_run("noisy", 0.6)), str(make_run("sharp", 0.2)), "--output", str(tmp_path / "report")])
    assert "B is better than A" in " ".join(capsys.readouterr().out.split())
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == sorted(FILES)


def test_a_comparison_is_recorded_as_a_run(make_run: MakeRun, empty_store: Path, tmp_path: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    client.create_experiment("comparisons", artifact_location=(tmp_path / "artifacts").as_uri())
    run([str(make_run("one", 0.3)), str(make_run("other", 0.3))], uri, log=True)
    (logged,) = client.search_runs([client.get_experiment_by_name("comparisons").experiment_id])
    assert logged.info.status == "FINISHED"
    assert (logged.data.tags["compared.A"], logged.data.tags["compared.B"]) == ("one", "other")
    assert sorted(item.path for item in client.list_artifacts(logged.info.run_id)) == sorted(FILES)


def test_recipes_are_compared_written_and_recorded(
    log_seed: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [log_seed("3fa9c21b lr 5e-05, 1 epoch", seed, 0.6 + seed / 1000) for seed in (42, 43, 44)]
    other = [log_seed("77aa0000 lr 1e-03, 1 epoch", seed, 0.2 + seed / 1000) for seed in (42, 43)]
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    client.create_experiment("comparisons", artifact_location=(tmp_path / "artifacts").as_uri())
    main(["recipe:3fa9", "recipe:77aa0000 lr 1e-03, 1 epoch", "--uri", uri, "--output", f"{tmp_path}/report", "--log"])
    assert "B is better than A" in " ".join(capsys.readouterr().out.split())
    text = (tmp_path / "report" / FILES[0]).read_text(encoding="utf-8")
    assert text.startswith("# recipe:3fa9c21b lr 5e-05, 1 epoch against recipe:77aa0000 lr 1e-03, 1 epoch\n")
    assert "| 3 seeds: 42, 43, 44 |" in text and "| 2 seeds: 42, 43 |" in text
    (logged,) = client.search_runs([client.get_experiment_by_name("comparisons").experiment_id])
    assert logged.info.run_name == "recipe:3fa9c21b lr 5e-05, 1 epoch against recipe:77aa0000 lr 1e-03, 1 epoch"
    assert (logged.data.tags["compared.A"], logged.data.tags["compared.B"]) == (" ".join(ids), " ".join(other))


def test_the_last_line_links_the_curves_of_runs_that_are_in_the_store(
    make_run: MakeRun, empty_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    runs = [client.create_run(client.create_experiment(name)).info for name in ("one", "other")]
    folders = [str(make_run(info.run_id, 0.3)) for info in runs]
    run(folders, uri)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"  curves  {curves_page(LOCAL, {info.run_id: info.experiment_id for info in runs}, SPEARMAN)}"
    run([folders[0], str(make_run("elsewhere", 0.3))], uri)
    run(folders, "http://127.0.0.1:9")  # nothing listens there
    run(folders, STORE)
    assert "curves  " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["one"], "expected 2 to 26 runs to compare, found 1"),
        ([], "the following arguments are required: RUN"),
        (["one", "two", "--paris", "3"], "unrecognized arguments: --paris 3"),
        (["one", "two", "--uri", STORE], "one: expected an experiment folder, or a run"),
        (
            ["recipe:3fa9", "two", "--uri", STORE],
            "recipe:3fa9: expected a recipe with finished runs in sqlite:///nowhere",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1


def test_folders_are_compared_without_torch_and_mlflow(make_run: MakeRun) -> None:
    code = """
import sys
from src.compare import run
run(sys.argv[1:], "sqlite:///nowhere/mlflow.db")
print({"torch", "transformers", "mlflow"} & set(sys.modules))
"""
    line = [sys.executable, "-c", code, str(make_run("one", 0.6)), str(make_run("other", 0.2))]
    done = subprocess.run(line, cwd=CONF.parent, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
