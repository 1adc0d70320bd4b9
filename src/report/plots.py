"""Pictures of a run: its curves and its losses, and what all pictures share."""

from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.files import replacing
from src.metrics.statistics import Interval
from src.report.fonts import korean_font

if font := korean_font():
    font_manager.fontManager.addfont(font)
    matplotlib.rcParams["font.family"] = ["DejaVu Sans", "NanumGothic"]


def new_figure(width: float = 10, height: float = 4) -> Figure:
    """Return an empty figure of that size in inches; it renders Korean."""
    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG."""
    with replacing(path) as draft:
        figure.savefig(draft, format="png")


def plot_curve(curve: pd.DataFrame, kept: tuple[float, Interval] | None, published: float | None, path: Path) -> None:
    """Write the correlations on dev over the steps as PNG; `curve` has the columns of curve.csv.

    `kept` is the Spearman on dev, with its interval, of the weights that were kept: the last, or the best; `published`
    is the figure of a published model card, if comparable.
    """
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    axes.plot(curve["step"], curve["spearman_cosine"], "o-", label="Spearman")
    axes.plot(curve["step"], curve["pearson_cosine"], "s--", alpha=0.6, label="Pearson")
    if kept is not None:
        score, interval = kept
        beside = 1.04 * curve["step"].iloc[-1]  # with keep=best they are not those of the last step
        spread = [[max(score - interval.low, 0)], [max(interval.high - score, 0)]]
        label = f"Spearman of the kept weights: {score:.4f}, 95 % interval"
        axes.errorbar([beside], [score], yerr=spread, fmt="D", color="C2", capsize=4, label=label)
    if published is not None:
        axes.axhline(published, color="grey", linestyle=":", label=f"published card: {published:.4f}")
    finish(axes, "Correlation of cosine similarity and score, dev", "step", "correlation")
    save(figure, path)


def plot_losses(curve: pd.DataFrame, path: Path) -> None:
    """Write training and validation loss over the steps as PNG."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    axes.plot(curve["step"], curve["training_loss"], "o-", label="training, mean since the last evaluation")
    axes.plot(curve["step"], curve["validation_loss"], "s-", label="validation")
    axes.set_ylim(bottom=0)
    finish(axes, "Loss", "step", "loss")
    save(figure, path)


def finish(axes: Axes, title: str, x: str, y: str) -> None:
    """Give the axes title, labels, a grid, and a legend if anything has a label."""
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
