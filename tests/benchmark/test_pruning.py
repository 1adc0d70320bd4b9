"""The benchmark of pruning: its comparison and its files."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from src.benchmark import pruning
from src.config import SweepSettings
from src.evaluation.metrics import SPEARMAN, leading_metric
from src.evaluation.statistics import Estimate


def estimate(spearman: float) -> Estimate:
    return Estimate(spearman, spearman - 0.1, spearman + 0.1)


def test_both_searches_differ_in_the_pruner_only_and_the_recipe_is_trained_on_the_same_pairs(
    sweep_config: Callable[..., SweepSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: dict[str, list[str]] = {}

    def sweep(overrides: list[str], folder: Path) -> dict[str, Any]:
        folder.mkdir(parents=True)
        commands[folder.name] = overrides
        steps = 400 if folder.name == "none" else 100
        return {"steps": steps, "seconds": steps / 2, "pruned": 0, **estimate(0.85).to_dict(SPEARMAN)}

    def train(overrides: list[str], folder: Path) -> SimpleNamespace:
        commands[folder.name] = overrides
        recipe = {"train_pairs": 8, "data_source": "own", "leading": estimate(0.8)}
        return SimpleNamespace(**recipe, metric=leading_metric("scored"))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pruning, "sweep_in_subprocess", sweep)
    monkeypatch.setattr(pruning, "train_in_subprocess", train)
    table = pruning.run(sweep_config(), ["+experiment=review_sts", "sweep.trials=4"])
    assert set(commands["none"]) ^ set(commands["percentile"]) == {
        "sweep.pruner=none",
        "sweep.confirm.seeds=0",
        "sweep.pruner=percentile",
    }
    assert "+experiment=review_sts" in commands["recipe"]
    assert not any("sweep" in one for one in commands["recipe"])
    assert (table["cost_ratio_steps"], table["cost_ratio_seconds"]) == (0.25, 0.25)
    folder = tmp_path / "experiments" / "bench"
    assert json.loads((folder / "pruning.json").read_text(encoding="utf-8")) == table
    markdown = (folder / "pruning.md").read_text(encoding="utf-8")
    assert "| with pruning | 100 | 50 | 0 | 0.8500 [0.7500, 0.9500] |" in markdown
    assert "reduced the cost to 25% of the steps" in markdown
    assert not (folder / "pruning").exists()
