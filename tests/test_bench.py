"""The command `python -m src.bench`: a complete benchmark of a tiny encoder, and mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.cli import CONF
from tests.cli.test_light_start import start
from tests.test_triplets import write_triplets


@pytest.mark.slow
def test_the_benchmark_stores_its_table(tmp_path: Path, tiny_encoder_folder: Path, pairs_file: Path) -> None:
    overrides = ["model=hub", "model.name=tests/tiny", f"model.path={tiny_encoder_folder}", "trainer.batch_size=8"]
    overrides += ["data=pairs", f"data.train={pairs_file}", f"data.dev={pairs_file}", "name=tiny"]
    line = [sys.executable, "-m", "src.bench", *overrides, "bench.rounds=1", "bench.max_steps=2"]
    line.append("bench.rivals=[stock_bf16,stock_fp32]")
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "experiments" / "bench" / "speed.json").read_text())
    assert table["ratio_vs_stock_fp32"] > 0
    assert table["ratio_vs_stock_bf16"] > 0
    assert list(table["variants"]) == ["ours", "stock_bf16", "stock_fp32"]
    assert {row["steps"] for row in table["variants"].values()} == {2}
    assert table["variants"]["stock_fp32"]["precision"] == "fp32"
    assert {"device", "threads"} == table["machine"].keys()
    markdown = (tmp_path / "experiments" / "bench" / "speed.md").read_text()
    assert "| ours" in markdown and markdown in done.stdout
    assert "round 1: stock_fp32       2 steps" in done.stdout
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.slow
def test_a_benchmark_with_triplets_has_their_leading_metric(tmp_path: Path, tiny_encoder_folder: Path) -> None:
    data = write_triplets(tmp_path / "triplets.jsonl")
    overrides = [f"data.train={data}", f"data.dev={data}", "data=pairs", "name=tiny", "loss=mnrl", "model=hub"]
    overrides += [f"model.path={tiny_encoder_folder}", "bench.rounds=1", "bench.max_steps=2"]
    line = [sys.executable, "-m", "src.bench", *overrides, "bench.rivals=[stock_fp32]"]
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "experiments" / "bench" / "speed.json").read_text())
    assert table["ratio_vs_stock_fp32"] > 0 and len(table["variants"]["ours"]["cosine_ndcg_at_10_by_round"]) == 1
    assert "| MB | nDCG@10 | ours is |" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("growth", ["bench.growth=true", "bench.sizes=[100,200]", "bench.growth_steps=2"]),
        ("ablation", ["bench.ablation=true", "bench.rounds=1", "bench.max_steps=2", "trainer.precision=fp32"]),
    ],
)
def test_growth_and_ablation_are_measured_and_stored(
    kind: str, options: list[str], tmp_path: Path, tiny_encoder_folder: Path, pairs_file: Path
) -> None:
    overrides = ["model=hub", f"model.path={tiny_encoder_folder}", "trainer.batch_size=8", "name=tiny", "data=pairs"]
    line = [sys.executable, "-m", "src.bench", *overrides, f"data.train={pairs_file}", f"data.dev={pairs_file}"]
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*line, *options], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "experiments" / "bench" / f"{kind}.json").read_text())
    if kind == "growth":
        assert [(row["pairs"], row["steps"]) for row in table["rows"]] == [(100, 2), (200, 2)]
    else:
        assert list(table["without"])[-1] == "nothing" and len(table["without"]) == 5
        assert all(row["seconds"] > 0 for row in table["without"].values())
    assert (tmp_path / "experiments" / "bench" / f"{kind}.md").read_text() in done.stdout


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("data.train=missing.csv", "missing.csv"),
        ("bench.rivals=[stock_uncut]", "bench.rivals must be one that this encoder has"),
        ("bench.rivals=[other]", "bench.rivals must be some of"),
    ],
)
def test_a_mistake_is_one_sentence_without_torch(
    argument: str, said: str, tmp_path: Path, tiny_encoder_folder: Path, pairs_file: Path
) -> None:
    data = ["data=pairs", f"data.train={pairs_file}", "name=tiny", "model=hub", f"model.path={tiny_encoder_folder}"]
    done = start(["src.bench", *data, argument], tmp_path)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
