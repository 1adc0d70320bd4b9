"""The short tables at the start and the end of a run."""

from pathlib import Path

from src.config import Config
from src.data import PairData
from src.encoder import BaseModel
from src.metrics.names import PEARSON, SPEARMAN
from src.report.console import console, from_here, print_table
from src.report.result import Metrics


def print_sources(pairs: PairData, base: BaseModel) -> None:
    """Print which data serve, what is odd about them, and which encoder is trained."""
    console.print(f"Pairs: {pairs.origin.name} ({pairs.source}), {len(pairs.train):,} train, {len(pairs.dev):,} dev")
    for remark in filter(None, (pairs.origin.note, *pairs.findings)):
        console.print(f"  note: {remark}", style="yellow")
    console.print(f"Encoder: {base.name}")


def print_behind(behind: str | None) -> None:
    """Print what the tracking store does not have, if there is something."""
    if behind:
        console.print(f"  note: tracking is behind: {behind}", style="yellow", soft_wrap=True)


def print_summary(metrics: Metrics, config: Config, behind: str | None = None) -> None:
    """Print what a run reached, what it took, where its model lies and how to look at it.

    `behind`: what the tracking store does not have yet, and how to send it.
    """
    print_table(
        f"{metrics.experiment}: run {metrics.run_id}",
        {
            "data": f"{metrics.data_source}, {metrics.train_pairs:,} train and {metrics.dev_pairs:,} dev pairs",
            "note": metrics.data_note or "–",
            "base encoder": metrics.base_model,
            f"Spearman ({metrics.evaluated_on})": _score(metrics, SPEARMAN, config)
            + f"; before training (dev) {metrics.spearman_cosine_before:.4f}"
            + _ceiling(metrics),
            f"Pearson ({metrics.evaluated_on})": _score(metrics, PEARSON, config),
            "time": f"{metrics.train_seconds:.0f} s training, {metrics.evaluation_seconds:.0f} s evaluation",
            "throughput": f"{metrics.pairs_per_second:.1f} pairs a second in {metrics.precision}",
            "peak memory": f"{metrics.peak_memory_mb:,.0f} MB",
            "model": str(from_here(Path(config.folder) / "model"))
            + (f", registered as models:/{config.name}/{metrics.model_version}" if metrics.model_version else ""),
            "look at it": f"make ui, Model training, experiment {config.name}, Views, Scores"
            if config.tracking.uri.startswith("sqlite")
            else config.tracking.uri.split("@")[-1],
            **({"tracking": f"behind: {behind}"} if behind else {}),
        },
    )


def _ceiling(metrics: Metrics) -> str:
    """Return a remark where tied gold scores keep even a perfect order clearly below 1."""
    if metrics.spearman_ceiling > 0.99:
        return ""
    return f"; the tied given scores let a perfect order reach {metrics.spearman_ceiling:.3f}"


def _score(metrics: Metrics, name: str, config: Config) -> str:
    value, low, high = (getattr(metrics, name + end) for end in ("", "_low", "_high"))
    text = f"{value:.4f} [{low:.4f}, {high:.4f}]"
    published = config.published.get(name)
    if published is None or metrics.data_source == "sample":
        return text
    return f"{text}; published card {published:.4f}"
