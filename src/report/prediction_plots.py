"""Pictures of a run's predictions on the pairs that its score is of."""

from pathlib import Path

import numpy as np
import pandas as pd

from src.metrics.slices import Slice
from src.report.plots import finish, new_figure, save

BANDS = 5


def plot_predicted(pairs: pd.DataFrame, path: Path) -> None:
    """Write predicted against gold scores, and the residuals, as PNG; the line is the mean of a fifth of the range."""
    figure = new_figure(11, 4.5)
    left, right = figure.subplots(1, 2)
    residuals = pairs["predicted"] - pairs["gold"]
    left.plot([0, 1], [0, 1], color="grey", linestyle=":", label="equal")
    right.axhline(0, color="grey", linestyle=":")
    for axes, values in ((left, pairs["predicted"]), (right, residuals)):
        axes.scatter(pairs["gold"], values, s=12, alpha=0.4, linewidths=0)
        band = np.minimum((pairs["gold"] * BANDS).astype(int), BANDS - 1)
        means = pd.DataFrame({"gold": pairs["gold"], "value": values}).groupby(band).mean()
        axes.plot(means["gold"], means["value"], "o-", color="C1", label="mean")
    finish(left, f"Predicted against gold, {len(pairs):,} pairs", "gold score", "cosine similarity")
    finish(right, "Residuals", "gold score", "cosine similarity − gold score")
    save(figure, path)


def plot_distributions(pairs: pd.DataFrame, path: Path) -> None:
    """Write the histograms of gold and predicted scores as PNG."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    low, high = min(0.0, pairs["predicted"].min()), max(1.0, pairs["predicted"].max())
    bins = [float(edge) for edge in np.linspace(low, high, 31)]
    for name, label in (("gold", "gold score"), ("predicted", "cosine similarity")):
        axes.hist(pairs[name], bins=bins, alpha=0.5, label=label)
    finish(axes, f"Distribution of scores, {len(pairs):,} pairs", "score", "pairs")
    save(figure, path)


def plot_slices(found: list[Slice], whole: float, path: Path) -> None:
    """Write Spearman with 95 % interval of each slice as PNG; `whole` is that of all pairs."""
    figure = new_figure(9, 1.5 + 0.4 * len(found))
    axes = figure.subplots()
    kinds = list(dict.fromkeys(part.kind for part in found))
    for height, part in enumerate(reversed(found)):
        colour = f"C{kinds.index(part.kind)}"
        axes.plot(part.interval, [height, height], color=colour, linewidth=2)
        axes.plot(part.spearman, height, "o", color=colour)
    labels = [f"{part.kind} {part.label} ({part.pairs:,})" for part in reversed(found)]
    axes.set_yticks(range(len(found)), labels)
    axes.axvline(whole, color="grey", linestyle=":", label=f"all pairs: {whole:.4f}")
    finish(axes, "Spearman by slice (pairs), 95 % interval", "Spearman", "")
    save(figure, path)
