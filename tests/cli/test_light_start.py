"""Help and mistakes are answered before torch, transformers or MLflow are imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.cli import CONF

HEAVY = ("torch", "transformers", "sentence_transformers", "mlflow")
PROBE = f"""
import runpy, sys
module, sys.argv = sys.argv[1], sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except SystemExit as stop:
    code = stop.code
heavy = [name for name in {HEAVY} if name in sys.modules]
assert not heavy, heavy
sys.exit(code)
"""
TRAIN, SWEEP, BENCH, PREPARE = (f"src.{name} +experiment=review_sts" for name in ("train", "sweep", "bench", "prepare"))
MISTAKES = [
    *(f"{command} trainer.warmup=0.1" for command in (TRAIN, SWEEP, BENCH, PREPARE)),
    *(f"{command} trainer.warmup_ratio=1.5" for command in (TRAIN, SWEEP, BENCH, PREPARE)),
    *(f"src.{command} data=pairs data.train=missing.csv" for command in ("train", "sweep", "prepare")),
    f"{TRAIN} model=hub model.path=missing",
    f"{TRAIN} trainer.eval_steps=0.25",
    f"{SWEEP} sweep.trials=0",
    f"{BENCH} bench.rounds=0",
    "src.predict model=e5_small_ko",
    "src.predict model=e5_small_ko pears=pairs.csv",
    "src.predict model=e5_small_ko pairs=missing.csv",
    "src.predict model=missing pairs=here.csv",
    "src.export",
    "src.export model=missing",
    "src.export model=e5_small_ko",
    "src.export model=e5_small_ko format=tflite",
    "src.export model=e5_small_ko export.dim=3",
    "src.export model=e5_small_ko output=served",
    "src.push model=missing",
    "src.push model=missing repo=name",
    "src.push model=missing repo=owner/name.git",
    "src.push model=missing repo=owner/name public=true",
    "src.push model=missing repo=owner/name",
    "src.evaluate",
    "src.evaluate model=missing",
    "src.evaluate model=missing against=base",
    "src.evaluate model=here.csv suite=mine suite.sets=[here.csv]",
    "src.evaluate model=missing suite=mine",
    "src.evaluate model=missing suites=mine",
    "src.merge",
    "src.merge model=missing",
    "src.merge model=missing weight=2",
    "src.compare only_one",
    "src.compare one another",
    "src.compare one another --pears 3",
    "src.promote",
    "src.promote missing",
    "src.promote missing --force",
    f"{TRAIN} tracking.champion=auto tracking.register=false",
    "src.reproduce",
    "src.reproduce missing",
    "src.sync missing",
    "src.sync --now",
    "src.prune --keep -1",
    "src.prune --keep few",
    "src.prune --uri sqlite:///missing.db",
    "src.prune --uri nowhere",
    "src.report missing",
    "src.report",
]
HELP = [
    "train",
    "sweep",
    "bench",
    "prepare",
    "predict",
    "export",
    "push",
    "evaluate",
    "merge",
    "compare",
    "promote",
    "reproduce",
]
HELP += ["sync", "prune", "report", "ui"]


def start(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent)}
    line = [sys.executable, "-c", PROBE, *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2_without_a_heavy_import(arguments: str, tmp_path: Path) -> None:
    (tmp_path / "here.csv").write_text("sentence1,sentence2\na,b\n")
    done = start(arguments.split(), tmp_path)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not list(tmp_path.rglob("mlflow.db"))


@pytest.mark.parametrize("command", HELP)
def test_help_is_shown_without_a_heavy_import(command: str, tmp_path: Path) -> None:
    done = start([f"src.{command}", "--help"], tmp_path)
    assert done.returncode in (0, None), done.stderr
    assert f"src.{command}" in done.stdout or "sweep" in done.stdout or "Config" in done.stdout


def test_a_training_starts_without_what_draws_figures(tmp_path: Path) -> None:
    code = "import sys, src.pipeline; assert not {'matplotlib', 'fontTools'} & set(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
