"""What several seeds say together: mean, deviation and interval, in the result folder, in MLflow and on the console."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.config import Config
from src.files import replacing
from src.metrics.names import PEARSON, SPEARMAN, VALIDATION_LOSS
from src.metrics.statistics import pearson, percentile_interval, resampled_means, spearman
from src.report.console import from_here, print_table
from src.report.plots import finish, new_figure, save
from src.report.result import ARTIFACTS, Metrics
from src.tracking import Run

SEEDS = "seeds"
"""Folder below the result, with one result a seed."""
TABLE, CURVES = f"{SEEDS}/seeds.csv", f"{SEEDS}/curves.png"
COLUMNS = ["run_id", SPEARMAN, PEARSON, VALIDATION_LOSS, "train_seconds"]


@dataclass(frozen=True)
class SeedMetrics(Metrics):
    """Metrics of the first seed, whose model lies beside them, and what all seeds say of the recipe."""

    parent_run_id: str
    """The run whose children the seeds are."""
    seeds: str
    """The seeds, separated by spaces."""
    spearman_cosine_mean: float
    spearman_cosine_deviation: float
    """Standard deviation over the seeds."""
    spearman_cosine_mean_low: float
    """Lower end of the mean's 95 % bootstrap interval, over pairs and seeds."""
    spearman_cosine_mean_high: float
    pearson_cosine_mean: float
    pearson_cosine_deviation: float
    pearson_cosine_mean_low: float
    pearson_cosine_mean_high: float


def write_seeds(config: Config, parent_run: str) -> SeedMetrics:
    """Make the first seed's result that of `config.folder`, with the summary of all; return its metrics."""
    folder, seeds = Path(config.folder), config.trainer.seeds
    results = [folder / SEEDS / str(seed) for seed in seeds]
    told = [json.loads((result / "metrics.json").read_text(encoding="utf-8")) for result in results]
    with replacing(folder / TABLE) as draft:
        pd.DataFrame(told, index=pd.Index(seeds, name="seed"))[COLUMNS].to_csv(draft)
    plot_curves({seed: pd.read_csv(result / "curve.csv") for seed, result in zip(seeds, results, strict=True)}, folder)
    summary: dict[str, Any] = {**told[0], "parent_run_id": parent_run, "seeds": " ".join(map(str, seeds))}
    summary |= summarise(told, [pd.read_parquet(result / "predictions.parquet") for result in results], seeds[0])
    metrics = SeedMetrics(**summary)
    copy_result(results[0], folder)
    with replacing(folder / "metrics.json") as draft:
        draft.write_text(json.dumps(asdict(metrics), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return metrics


def summarise(told: list[dict[str, Any]], tables: list[pd.DataFrame], seed: int) -> dict[str, float]:
    """Return mean, deviation and interval of both correlations, from the metrics and predictions of every seed."""
    gold = tables[0]["gold"].to_numpy(float)
    predicted = np.stack([table["predicted"].to_numpy(float) for table in tables])
    summary: dict[str, float] = {}
    for name, statistic in ((SPEARMAN, spearman), (PEARSON, pearson)):
        values = [metrics[name] for metrics in told]
        interval = percentile_interval(resampled_means(statistic, gold, predicted, seed))
        summary |= {f"{name}_mean": float(np.mean(values)), f"{name}_deviation": float(np.std(values, ddof=1))}
        summary |= {f"{name}_mean_low": interval.low, f"{name}_mean_high": interval.high}
    return summary


def copy_result(source: Path, folder: Path) -> None:
    """Copy model and files of one seed's result to the fixed names; metrics.json, the last to come, is left out."""
    with replacing(folder / "model") as draft:
        shutil.copytree(source / "model", draft)
    for name in ARTIFACTS:
        if name != "metrics.json":
            with replacing(folder / name) as draft:
                shutil.copy(source / name, draft)


def plot_curves(curves: dict[int, pd.DataFrame], folder: Path) -> None:
    """Write the Spearman curves of all seeds as PNG."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    for seed, curve in curves.items():
        axes.plot(curve["step"], curve[SPEARMAN], "o-", label=f"seed {seed}")
    finish(axes, "Spearman on dev", "step", "Spearman")
    save(figure, folder / CURVES)


def log_seeds(parent: Run, config: Config, metrics: SeedMetrics) -> None:
    """Record the summary on the parent run: its Spearman is the mean, its artifacts are those of the first seed."""
    values = asdict(metrics)
    for name in (SPEARMAN, PEARSON):
        values |= {f"{name}{end}": values[f"{name}_mean{end}"] for end in ("", "_low", "_high")}
    parent.log_result(Path(config.folder), [*ARTIFACTS, TABLE, CURVES], values)


def print_seeds(config: Config, metrics: SeedMetrics) -> None:
    """Print what the seeds say together."""
    folder = from_here(Path(config.folder))
    table = pd.read_csv(folder / TABLE)
    each = zip(table["seed"], table[SPEARMAN], strict=True)
    print_table(
        f"{metrics.experiment}: {len(table)} seeds, run {metrics.parent_run_id}",
        {
            "seeds": ", ".join(f"{seed}: {value:.4f}" for seed, value in each),
            f"Spearman ({metrics.evaluated_on})": _spread(asdict(metrics), SPEARMAN),
            f"Pearson ({metrics.evaluated_on})": _spread(asdict(metrics), PEARSON),
            "model": f"{folder}/model, of seed {config.trainer.seeds[0]}; the others in {folder}/{SEEDS}",
        },
    )


def _spread(values: dict[str, float], name: str) -> str:
    mean, deviation, low, high = (values[f"{name}_{end}"] for end in ("mean", "deviation", "mean_low", "mean_high"))
    return f"mean {mean:.4f} [{low:.4f}, {high:.4f}] over pairs and seeds, deviation {deviation:.4f}"
