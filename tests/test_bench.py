"""The benchmark end to end, on a tiny encoder: real processes, a stored table."""

import json
import os
import subprocess
import sys
from pathlib import Path

from src.entry import CONF


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
    assert "| ours" in (tmp_path / "experiments" / "bench" / "speed.md").read_text()
    assert not (tmp_path / "mlruns").exists()
