"""The pipeline under a real DVC: what a change rebuilds, and that every stage declares what it reads."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from src.entry import CONF

ROOT = CONF.parent
COPIED = ("src", "conf", "dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore")
EXPERIMENTS = ("review_sts", "project_match")
PLUMBING = {f"src.{name}" for name in ("entry", "errors", "files", "hub", "provenance", "tracking", "config")} | {
    *(f"src.report.{name}" for name in ("console", "summary")),
    *(f"src.config.{name}" for name in ("checks", "tracking", "bench", "predict", "sweep")),
}
"""Modules that do not decide what a stage writes: they move, check, print and record it."""
PICTURES = {f"src.report.{name}" for name in ("pictures", "plots", "prediction_plots", "worst_pairs")}
"""Modules of src.train whose output the stage report owns."""
TINY = {
    "review_sts": "data:\n  sources: [sample]\n",
    "project_match": "data:\n  train_pairs: 20\n  dev_pairs: 20\n  test_pairs: 20\n",
}

Dvc = Callable[..., str]


def call(folder: Path, *arguments: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    who = {f"GIT_{role}_{what}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **who, "PATH": path, "OMP_NUM_THREADS": "1", "DVC_SITE_CACHE_DIR": f"{folder}/../site"}
    environment.pop("KLUE_STS_DIR", None)
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folder: Path, empty_store: Path) -> Path:
    """A repository like this one, with trainings of two steps on a tiny encoder, built once."""
    folder = tmp_path_factory.mktemp("pipeline") / "clone"
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    for name, data in TINY.items():
        path = folder / "conf" / "experiment" / f"{name}.yaml"
        text = path.read_text(encoding="utf-8").replace("defaults:\n", "defaults:\n  - override /model: hub\n")
        model = f"model:\n  name: tests/tiny\n  path: {tiny_encoder_folder}\n"
        tracking = "tracking:\n  models: false\n  system_metrics: false\n"
        path.write_text(text.replace("trainer:\n", "trainer:\n  max_steps: 2\n") + data + model + tracking, "utf-8")
    (folder / "README.md").write_text("# pipeline\n")
    (folder / "mlruns").mkdir()
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    for line in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "start"]):
        call(folder, "git", *line)
    call(folder, sys.executable, "-m", "dvc", "repro", "--quiet")
    return folder


@pytest.fixture
def dvc(clone: Path) -> Dvc:
    return lambda *arguments: call(clone, sys.executable, "-m", "dvc", *arguments)


def test_everything_is_built(clone: Path) -> None:
    for name in EXPERIMENTS:
        folder = clone / "experiments" / name
        for file in ("model/README.md", "metrics.json", "plots/curve.png", "plots/slices.png", "data/train.parquet"):
            assert (folder / file).is_file(), file
        facts = json.loads((folder / "data" / "data.json").read_text(encoding="utf-8"))
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        assert facts["splits"]["train"]["pairs"] == metrics["train_pairs"]
        assert (folder / "data" / "test.parquet").exists() == (metrics["evaluated_on"] == "test")


def test_a_second_time_does_nothing(clone: Path, dvc: Dvc) -> None:
    before = {path: path.stat().st_mtime_ns for path in (clone / "experiments").rglob("*.*")}
    assert "Running stage" not in dvc("repro")
    assert {path: path.stat().st_mtime_ns for path in (clone / "experiments").rglob("*.*")} == before


@pytest.mark.parametrize(
    ("file", "old", "new", "rebuilt"),
    [
        ("README.md", "# pipeline", "# another pipeline", set()),
        ("conf/experiment/project_match.yaml", "# @package", "# comment\n# @package", set()),
        ("conf/experiment/project_match.yaml", "learning_rate: ", "learning_rate: 2", {"project_match"}),
        ("conf/experiment/review_sts.yaml", "epochs: ", "epochs: 2", {"review_sts"}),
        ("src/training/losses.py", '"""', '"""Changed. ', set(EXPERIMENTS)),
    ],
)
def test_a_change_rebuilds_what_depends_on_it(
    file: str, old: str, new: str, rebuilt: set[str], clone: Path, dvc: Dvc
) -> None:
    path = clone / file
    former = path.read_text(encoding="utf-8")
    assert old in former
    path.write_text(former.replace(old, new, 1), encoding="utf-8")
    try:
        changed = json.loads(dvc("status", "--json"))
    finally:
        path.write_text(former, encoding="utf-8")
    assert {stage.split("@")[1] for stage in changed} == rebuilt
    assert all(f"train@{name}" in changed for name in rebuilt)


def test_metrics_and_plots_can_be_shown(dvc: Dvc, clone: Path, tmp_path: Path) -> None:
    shown = json.loads(dvc("metrics", "show", "--json"))
    assert {f"experiments/{name}/metrics.json" for name in EXPERIMENTS} == set(shown[""]["data"])
    dvc("plots", "show", "--out", str(tmp_path / "shown"))
    page = (tmp_path / "shown" / "index.html").read_text(encoding="utf-8")
    assert "predicted against gold" in page and "spearman_cosine" in page


def test_large_and_foreign_content_stays_out_of_git(clone: Path) -> None:
    kept = call(clone, "git", "ls-files", "--others", "--exclude-standard").splitlines()
    assert "experiments/review_sts/metrics.json" in kept and "experiments/review_sts/plots/curve.png" in kept
    assert not [name for name in kept if name.endswith((".parquet", ".safetensors", ".html", ".lock", ".owner"))]


@pytest.mark.parametrize(
    ("stage", "module"), [("prepare", "src.prepare"), ("train", "src.train"), ("report", "src.report.__main__")]
)
def test_a_stage_declares_the_code_it_runs(stage: str, module: str) -> None:
    probe = f"import sys, {module}; print(*(name for name in sys.modules if name.startswith('src.')))"
    used = set(call(ROOT, sys.executable, "-c", probe).split())
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    declared = [dep.removesuffix(".py").replace("/", ".") for dep in pipeline[stage]["deps"] if dep.startswith("src/")]
    assert all((ROOT / dep).exists() for dep in pipeline[stage]["deps"] if dep.startswith("src/"))
    owned_elsewhere = PLUMBING | (PICTURES if stage == "train" else set()) | {"src.report"}
    if stage != "train":
        owned_elsewhere |= {f"src.config.{name}" for name in ("model", "training")}
    unknown = {
        name
        for name in used - owned_elsewhere
        if not any(name == dep or name.startswith(f"{dep}.") for dep in declared)
    }
    assert unknown == set()
