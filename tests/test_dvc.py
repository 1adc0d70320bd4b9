"""The pipeline under a real DVC: a change rebuilds what depends on it, a stage declares what it reads and writes.

The stages' commands take minutes on a small machine, most of it to load libraries. Here a stand-in writes what they
declare; DVC_REAL=1 in the environment runs the commands themselves, on a tiny encoder.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from omegaconf import OmegaConf

import src.prepare
import src.train
from src.cli import CONF
from src.config import Config
from src.data import digest, load_examples
from src.report.__main__ import run as report

ROOT = CONF.parent
COPIED = ("src", "conf", "dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore")
EXPERIMENTS = ("review_sts", "review_sts_best", "project_match", "review_search")
STAGES = ("prepare", "train", "report")
PLUMBING = ("src.cli", "src.utils", "src.tracking", "src.comparison", "src.config")
PLUMBING += ("src.suite", "src.prediction", "src.exporting")  # trainer.evaluate_suite, which follows a training
"""Packages that do not decide what a stage writes: they parse, move, check, print and record it."""
TINY = {
    "review_sts": "data:\n  sources: [sample]\n",
    "review_sts_best": "data:\n  sources: [sample]\n",
    "project_match": "data:\n  train_pairs: 20\n  dev_pairs: 20\n  test_pairs: 20\n",
    "review_search": "",
}

pytestmark = pytest.mark.slow

REAL = bool(os.environ.get("DVC_REAL"))
STAND_IN = """
import sys, yaml
from pathlib import Path
stage, name = sys.argv[1], sys.argv[2].split("=")[-1].split("/")[-1]
declared = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][stage]["do"]
for out in declared["outs"] + declared.get("metrics", []):
    path = Path(str(out if isinstance(out, str) else next(iter(out))).replace("${key}", name))
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        curve = "step,spearman_cosine,cosine_ndcg_at_10\\n1,0.5,0.5\\n"
        path.write_text(chr(123) + chr(125) if path.suffix == ".json" else curve)
    else:
        path.mkdir(parents=True)
        plots = ("curve.png", "predicted.png", "ranks.png", "worst_pairs.html")
        for file in ("model.safetensors",) if stage == "train" else plots:
            (path / file).write_text("x")
        (path / "predictions.csv").write_text("gold,predicted\\n0.1,0.2\\n")
"""

Dvc = Callable[..., str]
TinyConfig = Callable[..., Config]


def call(folder: Path, *arguments: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    who = {f"GIT_{role}_{what}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **who, "PATH": path, "OMP_NUM_THREADS": "1", "DVC_SITE_CACHE_DIR": f"{folder}/../site"}
    environment.pop("KLUE_STS_DIR", None)
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def with_item(text: str, key: str, item: str) -> str:
    """Return a YAML text with one more item below a key, which is added if it is not there."""
    if f"\n{key}:\n" in text:
        return text.replace(f"\n{key}:\n", f"\n{key}:\n  {item}\n")
    return text.replace("\npublished:", f"\n{key}:\n  {item}\npublished:")


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
        text = with_item(path.read_text(encoding="utf-8"), "defaults", "- override /model: hub")
        model = f"model:\n  name: tests/tiny\n  path: {tiny_encoder_folder}\n"
        tracking = "tracking:\n  models: false\n  system_metrics: false\n"
        path.write_text(with_item(text, "trainer", "max_steps: 2") + data + model + tracking, "utf-8")
    (folder / "README.md").write_text("# pipeline\n")
    (folder / "mlruns").mkdir()
    shutil.copy(empty_store, folder / "mlruns" / "mlflow.db")
    if not REAL:
        (folder / "stand_in.py").write_text(STAND_IN, encoding="utf-8")
        pipeline = re.sub(r"-m src\.(\w+)", r"stand_in.py \1", (folder / "dvc.yaml").read_text(encoding="utf-8"))
        (folder / "dvc.yaml").write_text(pipeline, encoding="utf-8")
    for line in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "start"]):
        call(folder, "git", *line)
    call(folder, sys.executable, "-m", "dvc", "repro", "--quiet")
    return folder


@pytest.fixture
def dvc(clone: Path) -> Dvc:
    return lambda *arguments: call(clone, sys.executable, "-m", "dvc", *arguments)


def declared(stage: str, name: str) -> list[str]:
    """Return the paths a stage writes, for an experiment of that name."""
    found = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["do"]
    paths = [out if isinstance(out, str) else next(iter(out)) for out in found["outs"] + found.get("metrics", [])]
    return [path.replace("${key}", name) for path in paths]


def test_everything_is_built(clone: Path) -> None:
    for name in EXPERIMENTS:
        for stage in STAGES:
            assert all((clone / path).exists() for path in declared(stage, name)), stage


def test_the_commands_write_what_their_stages_declare(tiny_config: TinyConfig) -> None:
    config = tiny_config("trainer.max_steps=2", "tracking.models=false")
    folder = Path(config.folder)
    facts = src.prepare.run(config)
    result = src.train.run(config)
    assert (
        facts["splits"]["train"]["pairs"] == result.train_pairs == len(pd.read_parquet(folder / "data/train.parquet"))
    )
    assert facts["splits"]["dev"]["digest"] == digest(load_examples(config.data).dev)
    assert not (folder / "data" / "test.parquet").exists()
    drawn = {path.name: path.read_bytes() for path in (folder / "plots").iterdir()}
    shutil.rmtree(folder / "plots")
    report(folder)
    assert {path.name: path.read_bytes() for path in (folder / "plots").iterdir()} == drawn
    for stage in STAGES:
        for path in declared(stage, "NAME"):
            assert (folder / path.removeprefix("experiments/NAME/")).exists(), path


def test_preparing_twice_gives_the_same_bytes(tiny_config: TinyConfig) -> None:
    def prepared() -> dict[str, bytes]:
        src.prepare.run(tiny_config())
        return {path.name: path.read_bytes() for path in (Path(tiny_config().folder) / "data").iterdir()}

    assert prepared() == prepared()


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
        ("conf/experiment/review_sts.yaml", "max_steps: ", "max_steps: 2", {"review_sts"}),
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
    assert not [name for name in kept if name.endswith((".parquet", ".safetensors", ".html", "/.lock", ".owner"))]


def imported(module: str, known: set[str]) -> set[str]:
    """Return the modules of src that a module imports, and those that they import."""
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if module in known or not file.exists():
        return known
    known.add(module)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("src"):
            for name in (node.module, *(f"{node.module}.{each.name}" for each in node.names)):
                imported(str(name), known)
    return known


@pytest.mark.parametrize(
    ("stage", "module"), [("prepare", "src.prepare"), ("train", "src.train"), ("report", "src.report.__main__")]
)
def test_a_stage_declares_the_code_it_runs(stage: str, module: str) -> None:
    used = imported(module, set())
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    listed = [
        dep.removesuffix(".py").replace("/", ".") for dep in pipeline[stage]["do"]["deps"] if dep.startswith("src/")
    ]
    assert all((ROOT / dep).exists() for dep in pipeline[stage]["do"]["deps"] if dep.startswith("src/"))
    declared_or_plumbing = (*listed, *PLUMBING)
    unknown = {
        name
        for name in used - {"src"}
        if not any(name == known or name.startswith(f"{known}.") for known in declared_or_plumbing)
    }
    assert unknown == set()


def test_a_fresh_clone_is_rebuilt_although_the_lock_is_in_git(clone: Path, tmp_path: Path) -> None:
    for line in (
        ["add", "."],
        ["commit", "--quiet", "--message", "results"],
        ["clone", "--quiet", ".", f"{tmp_path}/x"],
    ):
        call(clone, "git", *line)
    assert not (tmp_path / "x/experiments/review_sts/model").exists()
    assert "Running stage 'train@review_sts'" in call(tmp_path / "x", sys.executable, "-m", "dvc", "repro")
    for name in EXPERIMENTS:
        assert all((tmp_path / "x" / path).exists() for stage in STAGES for path in declared(stage, name))


def test_an_experiment_with_another_learning_rate_runs(clone: Path, dvc: Dvc) -> None:
    path = clone / "conf" / "experiment" / "project_match.yaml"
    former = path.read_text(encoding="utf-8")
    setting = "conf/experiment/project_match.yaml:trainer.learning_rate=3e-5"
    try:
        printed = dvc("exp", "run", "--name", "slower", "--set-param", setting)
        written = path.read_text(encoding="utf-8")
    finally:
        path.write_text(former, encoding="utf-8")
    assert "train@project_match" in printed and "train@review_sts'" not in re.findall(r"Running stage.*", printed)
    assert written.startswith("# @package _global_\n")
    assert OmegaConf.create(written).trainer.learning_rate == 3e-5
    assert "slower" in dvc("exp", "list", "--name-only")
