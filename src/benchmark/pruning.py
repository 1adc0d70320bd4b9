"""Measure the savings by pruning: python -m src.benchmark.pruning +experiment=review_sts.

The same search runs with and without pruning, then the recipe itself on the same pairs, each in a process of its own.
The same command resumes an interrupted benchmark.
"""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig

from src.benchmark.speed import train_in_subprocess
from src.cli import hydra_command
from src.config import SweepSettings
from src.evaluation.metrics import Metric
from src.evaluation.result import RESULT_FILE, Result
from src.evaluation.statistics import Estimate
from src.utils.environment import device_name
from src.utils.errors import UserError
from src.utils.files import write_text

log = logging.getLogger("src.benchmark.pruning")

FOLDER = Path("experiments/bench")
WORK = FOLDER / "pruning"
PLAIN = ("tracking.models=false", "tracking.system_metrics=false")
"""Overrides that turn off everything outside the comparison."""


def run(config: SweepSettings, overrides: list[str] | None = None) -> dict[str, Any]:
    """Search with and without pruning, train by the recipe, store the comparison and return it.

    `overrides` are those of src.sweep, by default those of the command line.
    """
    own = [*(HydraConfig.get().overrides.task if overrides is None else overrides), *PLAIN]
    without = sweep_in_subprocess([*own, "sweep.pruner=none", "sweep.confirm.seeds=0"], WORK / "none")
    pruned = sweep_in_subprocess([*own, f"sweep.pruner={config.sweep.pruner}"], WORK / config.sweep.pruner)
    recipe = train_recipe(own, WORK / "recipe")
    table = {
        "machine": device_name(),
        "pairs": recipe.train_pairs,
        "data_source": recipe.data_source,
        "trials": config.sweep.trials,
        "pruner": config.sweep.pruner,
        **{f"cost_ratio_{unit}": pruned[unit] / without[unit] for unit in ("steps", "seconds")},
        "without_pruning": without,
        "with_pruning": pruned,
        "recipe": recipe.leading.to_dict(recipe.metric.name),
    }
    text = to_markdown(table, recipe.metric)
    write_text(FOLDER / "pruning.json", json.dumps(table, indent=2) + "\n")
    write_text(FOLDER / "pruning.md", text)
    log.info(text)
    shutil.rmtree(WORK)
    return table


def sweep_in_subprocess(overrides: list[str], folder: Path) -> dict[str, Any]:
    """Run `python -m src.sweep` in a new process; return the cost of its trials and the score of its winner on dev.

    Raises `UserError` if the sweep failed or was interrupted.
    """
    locations = [
        f"folder={folder}",
        f"tracking.uri=sqlite:///{WORK}/mlflow.db",
        f"tracking.artifacts={WORK}/mlruns",
    ]
    code = subprocess.run([sys.executable, "-m", "src.sweep", *overrides, *locations]).returncode
    if code:
        raise UserError(
            f"expected the sweep in {folder} to succeed, found exit code {code}: run the same command again to resume."
        )
    winner = Result.load(folder / "sweep" / "winner")
    trials = pd.read_csv(folder / "sweep" / "report" / "trials.csv")
    return {
        "steps": int(trials["steps"].sum()),
        "seconds": float(trials["seconds"].sum()),
        "pruned": int((trials["state"] == "pruned").sum()),
        **winner.leading.to_dict(winner.metric.name),
    }


def train_recipe(overrides: list[str], folder: Path) -> Result:
    """Return the result of the recipe in `folder`; train in a new process if there is none."""
    if (folder / RESULT_FILE).exists():
        return Result.load(folder)
    return train_in_subprocess([one for one in overrides if not one.lstrip("+~").startswith("sweep.")], folder)


def to_markdown(table: dict[str, Any], metric: Metric) -> str:
    """Return the comparison as Markdown; `metric`: the leading one."""
    lines = [f"| | steps | seconds of trials | pruned | {metric.label} on dev |", "|---|---|---|---|---|"]
    for name in ("without_pruning", "with_pruning", "recipe"):
        row = table[name]
        cost = f"{row['steps']:,} | {row['seconds']:.0f} | {row['pruned']}" if "steps" in row else "– | – | –"
        lines.append(f"| {name.replace('_', ' ')} | {cost} | {Estimate.from_dict(row, metric.name)} |")
    steps, seconds = table["cost_ratio_steps"], table["cost_ratio_seconds"]
    lines.append(
        f"\nPruning ({table['pruner']}) reduced the cost to {steps:.0%} of the steps and {seconds:.0%} of the time."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    hydra_command(run, "sweep")()
