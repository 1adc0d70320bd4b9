"""The benchmark of pruning: what it compares, and what it leaves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.config import SweepSettings
from src.sweeping import benchmark


def scores(spearman: float) -> dict[str, float]:
    return {"spearman_cosine": spearman, "spearman_cosine_low": spearman - 0.1, "spearman_cosine_high": spearman + 0.1}


def test_both_searches_differ_in_the_pruner_only_and_the_recipe_is_trained_on_the_same_pairs(
    sweep_config: Callable[..., SweepSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: dict[str, list[str]] = {}

    def sweep(overrides: list[str], folder: Path) -> dict[str, Any]:
        commands[folder.name] = overrides
        steps = 400 if folder.name == "none" else 100
        return {"steps": steps, "seconds": steps / 2, "pruned": 0, **scores(0.85)}

    def train(overrides: list[str], folder: Path) -> dict[str, Any]:
        commands[folder.name] = overrides
        return {"train_pairs": 8, "data_source": "own", **scores(0.8)}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(benchmark, "sweep_apart", sweep)
    monkeypatch.setattr(benchmark, "train_apart", train)
    table = benchmark.run(sweep_config(), ["+experiment=review_sts", "sweep.trials=4"])
    assert set(commands["none"]) ^ set(commands["median"]) == {
        "sweep.pruner=none",
        "sweep.confirm.seeds=0",
        "sweep.pruner=median",
    }
    assert "+experiment=review_sts" in commands["recipe"]
    assert not any("sweep" in one for one in commands["recipe"])
    assert (table["cost_ratio_steps"], table["cost_ratio_seconds"]) == (0.25, 0.25)
    folder = tmp_path / "experiments" / "bench"
    assert json.loads((folder / "pruning.json").read_text(encoding="utf-8")) == table
    assert "left 25% of the steps" in (folder / "pruning.md").read_text(encoding="utf-8")
    assert not (folder / "pruning").exists()
