"""Comparing runs: the verdict, what is refused, and where runs are found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from src.compare import main, run
from src.comparison.candidates import RESULT_FILES
from src.errors import UserError

MakeRun = Callable[..., Path]
STORE = "sqlite:///nowhere/mlflow.db"


def scores(noise: float, pairs: int = 120, seed: int = 3) -> pd.DataFrame:
    """Pairs with gold scores, and predictions that are better the smaller the noise."""
    gold = np.random.default_rng(seed).integers(0, 6, pairs) / 5
    predicted = gold + np.random.default_rng(int(noise * 1000)).normal(0, noise, pairs)
    text = {"sentence1": [f"방 {i}이 좋아요" for i in range(pairs)], "sentence2": [f"숙소 {i}" for i in range(pairs)]}
    return pd.DataFrame({**text, "gold": gold, "predicted": predicted})


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write the files of a finished run, its Spearman the worse the more noise."""

    def made(name: str, noise: float, rate: str = "5e-05", predictions: pd.DataFrame | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        table = scores(noise) if predictions is None else predictions
        table.to_parquet(folder / "predictions.parquet", index=False)
        (folder / "curve.csv").write_text("epoch,step,spearman_cosine\n0.5,4,0.7\n1.0,8,0.8\n")
        (folder / "config.yaml").write_text(
            f"name: x\nfolder: {folder}\ntrainer:\n  learning_rate: {rate}\n  seed: 42\n"
        )
        metrics = dict.fromkeys(
            [f"{kind}_cosine{end}" for kind in ("spearman", "pearson") for end in ("", "_low", "_high")], 0.8
        )
        said = {"run_id": name, "base_model": "tests/tiny", "data_source": "files", "evaluated_on": "dev"}
        numbers = {"evaluated_pairs": len(table), "steps": 8, "train_seconds": 1.0}
        (folder / "metrics.json").write_text(json.dumps({**metrics, **said, **numbers}))
        return folder

    return made


def test_a_better_run_is_called_better(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = run([str(make_run("noisy", 0.6)), str(make_run("sharp", 0.2))], STORE)
    assert found.shown and found.value > 0
    assert found.verdict.startswith(f"B is better than A: {found.value:+.3f} [")
    (backwards,) = run([str(make_run("sharp2", 0.2)), str(make_run("noisy2", 0.6))], STORE)
    assert backwards.verdict.startswith(f"A is better than B: {found.value:+.3f} [")
    assert "B is better than A" in " ".join(capsys.readouterr().out.split())


def test_runs_that_differ_by_noise_only_are_not_told_apart(make_run: MakeRun) -> None:
    (found,) = run([str(make_run("one", 0.4)), str(make_run("other", 0.401))], STORE)
    assert found.verdict == "A and B: no difference that 120 pairs could show"


def test_a_run_against_itself_is_no_difference(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(make_run("one", 0.4))
    (found,) = run([folder, folder], STORE)
    assert found.value == 0 and found.p_value == 1 and not found.shown
    assert capsys.readouterr().out.rstrip().endswith("none")  # no pair they disagree on


def test_the_report_names_parameters_that_differ_and_disagreements(make_run: MakeRun, tmp_path: Path) -> None:
    folders = [make_run("slow", 0.3), make_run("fast", 0.31, rate="0.001")]
    odd = pd.read_parquet(folders[1] / "predictions.parquet")
    lowest = int(odd["predicted"].argmin())
    odd.loc[lowest, ["predicted"]] = 9.0
    odd.to_parquet(folders[1] / "predictions.parquet")
    run([str(folder) for folder in folders], STORE, tmp_path / "report", pairs=3)
    text = (tmp_path / "report" / "comparison.md").read_text(encoding="utf-8")
    assert "trainer.learning\\_rate | 5e-05 | 0.001" in text
    assert "trainer.seed" not in text and "folder" not in text
    disagreeing = text.split("disagree on most")[1].splitlines()
    assert len([line for line in disagreeing if line.startswith("|")]) == 2 + 3
    assert f"| 방 {lowest}이 좋아요 | 숙소 {lowest} |" in text.split("disagree on most")[1]
    assert (tmp_path / "report" / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_three_runs_give_three_corrected_differences(make_run: MakeRun) -> None:
    found = run([str(make_run(name, noise)) for name, noise in (("a", 0.2), ("b", 0.201), ("c", 0.9))], STORE)
    assert [(each.first, each.second, each.shown) for each in found] == [
        ("A", "B", False),
        ("A", "C", True),
        ("B", "C", True),
    ]


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        (lambda table: table.iloc[:100], 100),
        (lambda table: table.assign(gold=table["gold"].where(table.index > 0, 0.123)), 119),
        (lambda table: table.assign(sentence1=table["sentence1"] + "."), 0),
    ],
)
def test_runs_on_other_pairs_are_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], shared: int, make_run: MakeRun
) -> None:
    first, other = make_run("one", 0.4), make_run("other", 0.4, predictions=change(scores(0.4)))
    with pytest.raises(UserError, match=rf"on 120 \(files, dev\) and .* {shared} of them in common: compare runs of"):
        run([str(first), str(other)], STORE)


def test_the_order_of_the_pairs_does_not_matter(make_run: MakeRun) -> None:
    first = make_run("one", 0.4)
    other = make_run("shuffled", 0.4, predictions=scores(0.4).sample(frac=1, random_state=1))
    (found,) = run([str(first), str(other)], STORE)
    assert found.value == 0


def test_runs_are_found_by_id_name_experiment_model_and_folder(
    make_run: MakeRun,
    empty_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("reviews", artifact_location=(tmp_path / "artifacts").as_uri())
    tracked = client.create_run(experiment, run_name="quick-fox").info.run_id
    source = make_run("source", 0.3)
    for name in RESULT_FILES:
        client.log_artifact(tracked, str(source / name))
    client.set_terminated(tracked)
    client.create_run(experiment)  # a later one that is still at work
    client.create_registered_model("reviews")
    client.create_model_version("reviews", source=source.as_uri(), run_id=tracked)
    client.set_registered_model_alias("reviews", "champion", "1")
    shutil.move(make_run("latest", 0.3), tmp_path / "experiments" / "latest")
    names = [tracked, "quick-fox", "reviews", "models:/reviews/1", "models:/reviews@champion", "latest"]
    found = run(names, uri, log=True)
    assert {each.value for each in found} == {0.0}
    (logged,) = client.search_runs([client.get_experiment_by_name("comparisons").experiment_id])
    assert logged.info.status == "FINISHED" and logged.data.tags["compared.A"] == "source"
    assert sorted(item.path for item in client.list_artifacts(logged.info.run_id)) == [
        "comparison.md",
        "comparison.png",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["one"], "expected 2 to 26 runs to compare, found 1"),
        ([], "the following arguments are required: RUN"),
        (["one", "two", "--paris", "3"], "unrecognized arguments: --paris 3"),
        (["one", "two", "--uri", STORE], "one: expected an experiment folder, or a run"),
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


def test_an_unfinished_run_is_refused(make_run: MakeRun) -> None:
    whole, broken = make_run("whole", 0.3), make_run("broken", 0.3)
    (broken / "curve.csv").unlink()
    with pytest.raises(UserError, match=r"found no curve\.csv in .*broken: train it first"):
        run([str(whole), str(broken)], STORE)
