"""Names of runs on the command line: what differs from the experiment's defaults."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from src.cli import hydra_command
from src.config import Config

Names = Callable[..., list[str | None]]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Names:
    """Return the names of the jobs of a command line."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "it's"):
        best = tmp_path / "experiments" / name / "sweep" / "best.yaml"
        best.parent.mkdir(parents=True)
        best.write_text("trainer:\n  learning_rate: 8.1e-05\n  warmup_ratio: 0.12\n  epochs: 2\n", encoding="utf-8")

    def run(arguments: list[str], name: str = "config") -> list[str | None]:
        found: list[Config] = []
        monkeypatch.setattr(sys, "argv", ["src/train.py", *arguments])
        hydra_command(found.append, name)()
        return [config.tracking.run_name for config in found]

    return run


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], None),
        (["+experiment=project_match", "name=방", "folder=x", "tracking.models=false", "trainer.resume=never"], None),
        (["data=pairs", "data.train=my pairs.csv", "data.dev=방.csv", "trainer.threads=1"], None),
        (["trainer=default", "loss=default", "trainer.epochs=1"], None),
        (["+experiment=project_match", "trainer.learning_rate=1.4e-4"], None),
        (["+experiment=review_sts", "trainer.epochs=3", "trainer.learning_rate=1e-4"], "lr 1e-04, 3 epochs"),
        (["+experiment=project_match", "trainer.learning_rate=5e-5"], "lr 5e-05"),
        (["trainer.seed=43"], "seed 43"),
        (["trainer.seeds=[42,43,44]", "loss=cosent"], "cosent, seeds 42, 43, 44"),
        (["loss.name=angle", "trainer=stock", "trainer.batch_size=32"], "stock, batch 32, angle"),
        (["model=kr_sbert"], "kr_sbert"),
        (["model=hub", "model.name=team/모델", "model.max_length=64"], "모델, max_length 64"),
        (["data.domain=policy", "data.sources=[sample]"], "domain policy, sources sample"),
        (["data=mixture", "data.sets={sts: {train: a.csv}, nli: {train: b.csv, weight: 0.5}}"], None),
        (["data=mixture", "data.sets={sts: {train: a.csv}}", "+data.sets.sts.loss=cosent"], "sts cosent"),
        (["loss=mnrl", "loss.scale=30", "trainer.gradient_accumulation_steps=4"], "mnrl, accumulation 4, scale 30"),
        (["+tuned=a", "trainer.seed=7"], "lr 8.1e-05, warmup 0.12, 2 epochs, seed 7"),
        (["tracking.run_name=2024", "trainer.seed=7"], "2024"),
        (["tracking.run_name='방, it\\'s 1'"], "방, it's 1"),
    ],
)
def test_a_run_is_named_by_what_differs(arguments: list[str], name: str | None, names: Names) -> None:
    assert names(arguments) == [name]


def test_a_folder_is_named_by_its_last_part(names: Names, tmp_path: Path) -> None:
    (tmp_path / "나의 모델").mkdir()
    assert names(["model=hub", f"model.path='{tmp_path}/나의 모델'"]) == ["나의 모델"]


def test_each_job_of_a_multirun_has_its_own_name(names: Names) -> None:
    line = ["-m", "+experiment=review_sts,project_match", "trainer.learning_rate=5e-5,1e-4"]
    assert names(line) == [None, "lr 1e-04", "lr 5e-05", "lr 1e-04"]


def test_a_sweep_is_named_by_its_trials_if_something_differs(names: Names) -> None:
    assert names(["loss=cosent", "sweep.trials=3"], "sweep") == ["sweep, 3 trials, cosent"]
    assert names([], "sweep") == [None]


@pytest.mark.parametrize("name", ["' '", "'a\tb'", '"a\x1b[31m"', "x" * 251])
def test_a_name_that_cannot_be_shown_or_stored_is_refused(
    name: str, names: Names, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        names([f"tracking.run_name={name}"])
    assert left.value.code == 2
    assert "tracking.run_name must be" in capsys.readouterr().err
