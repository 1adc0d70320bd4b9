"""Plots of a finished run, drawn from the files in its folder, and helpers for all figures of the project."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from src.evaluation.metrics import PEARSON, SPEARMAN, TRAINING_LOSS, VALIDATION_LOSS, as_labels
from src.evaluation.result import Result
from src.evaluation.slices import Slice, slices
from src.evaluation.statistics import Estimate
from src.report.worst_pairs import korean_font, write_worst_pairs
from src.utils.files import atomic_write

FIGURES = ("curve", "losses", "predicted", "distributions", "slices")
PLOTS = [*(f"plots/{name}.png" for name in FIGURES), "plots/worst_pairs.html", "plots/predictions.csv"]
"""Files that `draw_plots` writes; predictions.csv has gold and predicted scores without the sentences, for other
plotting tools such as DVC's."""
BANDS = 5
"""Number of equal ranges of gold scores, for each of which a mean is plotted."""

if font := korean_font():
    font_manager.fontManager.addfont(font)
    matplotlib.rcParams["font.family"] = ["DejaVu Sans", "NanumGothic"]


def draw_plots(folder: Path, result: Result, seed: int, published: float | None) -> None:
    """Write `PLOTS` into `folder`, from its curve.csv and predictions.parquet.

    `seed`: seed of the bootstrap; `published`: Spearman of a published model card on the same pairs.
    """
    curve, pairs = pd.read_csv(folder / "curve.csv"), pd.read_parquet(folder / "predictions.parquet")
    pairs["gold"] = as_labels(pairs["gold"].to_numpy())  # rounded as for the metrics
    plots = folder / "plots"
    on_dev = result.evaluated_on == "dev"
    plot_curve(curve, result.leading if on_dev else None, published, plots / "curve.png")
    plot_losses(curve, plots / "losses.png")
    plot_predicted(pairs, plots / "predicted.png")
    plot_distributions(pairs, plots / "distributions.png")
    plot_slices(slices(pairs, seed), result.leading.value, plots / "slices.png")
    write_worst_pairs(pairs, f"Worst pairs of {result.experiment}", plots / "worst_pairs.html")
    with atomic_write(plots / "predictions.csv") as temporary:
        pairs[["gold", "predicted"]].to_csv(temporary, index=False, float_format="%.6f")


def plot_curve(curve: pd.DataFrame, selected: Estimate | None, published: float | None, path: Path) -> None:
    """Write the metrics on dev over the steps as PNG; `curve` has the columns of curve.csv.

    `selected` is the Spearman on dev of the saved weights: those of the last step, or of the best evaluation.
    """
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    axes.plot(curve["step"], curve[SPEARMAN], "o-", label="Spearman")
    axes.plot(curve["step"], curve[PEARSON], "s--", alpha=0.6, label="Pearson")
    if selected is not None:
        score, low, high = selected
        right = 1.04 * curve["step"].iloc[-1]  # right of the curve: with keep=best not the last step
        errors = [[max(score - low, 0)], [max(high - score, 0)]]
        label = f"Spearman of the saved weights: {score:.4f}, 95 % interval"
        axes.errorbar([right], [score], yerr=errors, fmt="D", color="C2", capsize=4, label=label)
    if published is not None:
        axes.axhline(published, color="grey", linestyle=":", label=f"published card: {published:.4f}")
    finish_axes(axes, "Correlation of cosine similarity and score, dev", "step", "correlation")
    save_figure(figure, path)


def plot_losses(curve: pd.DataFrame, path: Path) -> None:
    """Write training and validation loss over the steps as PNG."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    axes.plot(curve["step"], curve[TRAINING_LOSS], "o-", label="training, mean since the last evaluation or checkpoint")
    axes.plot(curve["step"], curve[VALIDATION_LOSS], "s-", label="validation")
    axes.set_ylim(bottom=0)
    finish_axes(axes, "Loss", "step", "loss")
    save_figure(figure, path)


def plot_predicted(pairs: pd.DataFrame, path: Path) -> None:
    """Write predicted against gold scores, and the residuals, as PNG; a line connects the means of `BANDS` ranges."""
    figure = new_figure(11, 4.5)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="grey", linestyle=":", label="equal")
    right.axhline(0, color="grey", linestyle=":")
    for axes, values in ((left, pairs["predicted"]), (right, pairs["predicted"] - pairs["gold"])):
        axes.scatter(pairs["gold"], values, s=12, alpha=0.4, linewidths=0)
        band = np.minimum((pairs["gold"] * BANDS).astype(int), BANDS - 1)
        means = pd.DataFrame({"gold": pairs["gold"], "value": values}).groupby(band).mean()
        axes.plot(means["gold"], means["value"], "o-", color="C1", label="mean")
    finish_axes(left, f"Predicted against gold, {len(pairs):,} pairs", "gold score", "cosine similarity")
    finish_axes(right, "Residuals", "gold score", "cosine similarity − gold score")
    save_figure(figure, path)


def plot_distributions(pairs: pd.DataFrame, path: Path) -> None:
    """Write the histograms of gold and predicted scores as PNG."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    low, high = min(0.0, pairs["predicted"].min()), max(1.0, pairs["predicted"].max())
    bins = [float(edge) for edge in np.linspace(low, high, 31)]
    for name, label in (("gold", "gold score"), ("predicted", "cosine similarity")):
        axes.hist(pairs[name], bins=bins, alpha=0.5, label=label)
    finish_axes(axes, f"Distribution of scores, {len(pairs):,} pairs", "score", "pairs")
    save_figure(figure, path)


def plot_slices(parts: list[Slice], overall: float, path: Path) -> None:
    """Write Spearman with its 95 % interval on each slice as PNG; `overall` is the Spearman of all pairs."""
    figure = new_figure(9, 1.5 + 0.4 * len(parts))
    axes = figure.subplots()
    features = list(dict.fromkeys(part.feature for part in parts))
    for height, part in enumerate(reversed(parts)):
        plot_interval(axes, part.spearman, height, f"C{features.index(part.feature)}")
    labels = [f"{part.feature} {part.label} ({part.pairs:,})" for part in reversed(parts)]
    axes.set_yticks(range(len(parts)), labels)
    axes.axvline(overall, color="grey", linestyle=":", label=f"all pairs: {overall:.4f}")
    finish_axes(axes, "Spearman by slice (pairs), 95 % interval", "Spearman", "")
    save_figure(figure, path)


def plot_interval(axes: Axes, estimate: Estimate, height: float, color: str) -> None:
    """Draw an estimate as a horizontal interval with a point."""
    axes.plot(estimate.interval, [height, height], color=color, linewidth=2)
    axes.plot(estimate.value, height, "o", color=color)


def new_figure(width: float = 10, height: float = 4) -> Figure:
    """Return an empty figure of this size in inches."""
    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def finish_axes(axes: Axes, title: str, x: str, y: str) -> None:
    """Give the axes a title, labels, a grid, and a legend if anything has a label."""
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, atomically; a dollar sign in a name is no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
