"""All pictures of a run, drawn from the files of its folder."""

from pathlib import Path

import pandas as pd

from src.files import replacing
from src.metrics.names import SPEARMAN
from src.metrics.slices import slices
from src.metrics.statistics import Interval
from src.report.plots import plot_curve, plot_losses
from src.report.prediction_plots import plot_distributions, plot_predicted, plot_slices
from src.report.worst_pairs import write_worst_pairs

PICTURES = [
    "plots/curve.png",
    "plots/losses.png",
    "plots/predicted.png",
    "plots/distributions.png",
    "plots/slices.png",
    "plots/worst_pairs.html",
    "plots/predictions.csv",
]
"""What `draw` writes; predictions.csv holds gold and predicted scores without the sentences, for other plotters."""


def draw(folder: Path, metrics: dict[str, object], seed: int, published: float | None) -> None:
    """Draw `PICTURES` from curve.csv, predictions.parquet and the metrics of a run into `folder`.

    `published` is the Spearman of a published model card on the same pairs, if there is one; `seed` is the bootstrap's.
    """
    curve, pairs = pd.read_csv(folder / "curve.csv"), pd.read_parquet(folder / "predictions.parquet")
    whole, low, high = (float(str(metrics[SPEARMAN + end])) for end in ("", "_low", "_high"))
    plots = folder / "plots"
    on_dev = metrics["evaluated_on"] == "dev"
    plot_curve(curve, (whole, Interval(low, high)) if on_dev else None, published, plots / "curve.png")
    plot_losses(curve, plots / "losses.png")
    plot_predicted(pairs, plots / "predicted.png")
    plot_distributions(pairs, plots / "distributions.png")
    plot_slices(slices(pairs, seed), whole, plots / "slices.png")
    write_worst_pairs(pairs, f"Worst pairs of {metrics['experiment']}", plots / "worst_pairs.html")
    with replacing(plots / "predictions.csv") as draft:
        pairs[["gold", "predicted"]].to_csv(draft, index=False, float_format="%.6f")
