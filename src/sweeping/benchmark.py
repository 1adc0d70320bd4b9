"""What pruning saves and what a sweep finds: python -m src.sweeping.benchmark +experiment=review_sts.

The same search with and without pruning, then the recipe itself on the same pairs, each in a process of its own. An
interrupted benchmark goes on where it was.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig

from src.benchmark.job import train_apart
from src.config import SweepSettings
from src.entry import entry
from src.errors import UserError
from src.files import replacing
from src.provenance import device_name
from src.report.console import console

FOLDER = Path("experiments/bench")
WORK = FOLDER / "pruning"
QUICK = ("tracking.models=false", "tracking.system_metrics=false")
SCORES = ("spearman_cosine", "spearman_cosine_low", "spearman_cosine_high")


def run(config: SweepSettings, overrides: list[str]) -> dict[str, Any]:
    """Search with and without pruning, train by the recipe, and return and store the comparison."""
    WORK.mkdir(parents=True, exist_ok=True)
    own = [*overrides, *QUICK]
    without = sweep_apart([*own, "sweep.pruner=none", "sweep.confirm.seeds=0"], WORK / "none")
    pruned = sweep_apart([*own, f"sweep.pruner={config.sweep.pruner}"], WORK / config.sweep.pruner)
    plain = [one for one in own if not one.lstrip("+~").startswith("sweep.")]
    recipe = WORK / "recipe" / "metrics.json"
    metrics = json.loads(recipe.read_text(encoding="utf-8")) if recipe.exists() else train_apart(plain, recipe.parent)
    table = {
        "machine": device_name(),
        "pairs": metrics["train_pairs"],
        "data_source": metrics["data_source"],
        "trials": config.sweep.trials,
        "pruner": config.sweep.pruner,
        **{f"cost_ratio_{unit}": pruned[unit] / without[unit] for unit in ("steps", "seconds")},
        "without_pruning": without,
        "with_pruning": pruned,
        "recipe": {key: metrics[key] for key in SCORES},
    }
    store(table)
    shutil.rmtree(WORK)
    return table


def sweep_apart(overrides: list[str], folder: Path) -> dict[str, Any]:
    """Run `python -m src.sweep` in a new process; return what its trials cost and what its winner scored on dev.

    Raises:
        UserError: the sweep failed or was interrupted.

    """
    places = [
        f"hydra.run.dir={folder}",
        f"tracking.uri=sqlite:///{WORK}/mlflow.db",
        f"tracking.artifacts={WORK}/mlruns",
    ]
    code = subprocess.run([sys.executable, "-m", "src.sweep", *overrides, *places]).returncode
    if code:
        raise UserError(
            f"expected the sweep in {folder} to end well, found exit code {code}: the same command goes on."
        )
    trials = pd.read_csv(folder / "sweep" / "report" / "trials.csv")
    winner = json.loads((folder / "sweep" / "winner" / "metrics.json").read_text(encoding="utf-8"))
    return {
        "steps": int(trials["steps"].sum()),
        "seconds": float(trials["seconds"].sum()),
        "pruned": int((trials["state"] == "pruned").sum()),
        **{key: winner[key] for key in SCORES},
    }


def store(table: dict[str, Any]) -> None:
    """Write and print the comparison as experiments/bench/pruning.json and .md."""
    text = to_markdown(table)
    for ending, content in ((".json", json.dumps(table, indent=2) + "\n"), (".md", text)):
        with replacing(FOLDER / f"pruning{ending}") as draft:
            draft.write_text(content, encoding="utf-8")
    console.print(text, soft_wrap=True)


def to_markdown(table: dict[str, Any]) -> str:
    """Return the comparison as Markdown."""
    lines = ["| | steps | seconds of trials | pruned | Spearman on dev |", "|---|---|---|---|---|"]
    for name in ("without_pruning", "with_pruning", "recipe"):
        row = table[name]
        cost = f"{row['steps']:,} | {row['seconds']:.0f} | {row['pruned']}" if "steps" in row else "– | – | –"
        score = "{:.4f} [{:.4f}, {:.4f}]".format(*(row[key] for key in SCORES))
        lines.append(f"| {name.replace('_', ' ')} | {cost} | {score} |")
    steps, seconds = table["cost_ratio_steps"], table["cost_ratio_seconds"]
    lines.append(f"\nPruning ({table['pruner']}) left {steps:.0%} of the steps and {seconds:.0%} of the time.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    entry(lambda config: run(config, list(HydraConfig.get().overrides.task)), "sweep")()
