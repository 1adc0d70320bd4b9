"""Figures of the predictions on the evaluated split, by shape of the examples."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.evaluation.metrics import CUTOFF
from src.evaluation.statistics import best_threshold
from src.report.figures import finish_axes, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BANDS = 5
"""Number of equal ranges of gold scores, for each of which a mean is plotted."""
BINS = 30
"""Number of bars of a histogram."""


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


def plot_scores(pairs: pd.DataFrame, path: Path) -> None:
    """Write the histograms of gold and predicted scores as PNG."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    _histograms(axes, {"gold score": pairs["gold"], "cosine similarity": pairs["predicted"]}, (0.0, 1.0))
    finish_axes(axes, f"Distribution of scores, {len(pairs):,} pairs", "score", "pairs")
    save_figure(figure, path)


def plot_labels(pairs: pd.DataFrame, path: Path) -> None:
    """Write the histograms of the cosine similarities of both labels as PNG, with the threshold of the best F1."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    parts = {label: pairs.loc[pairs["gold"] == label, "predicted"] for label in (1, 0)}
    _histograms(axes, {f"label {label}: {len(part):,} pairs": part for label, part in parts.items()})
    threshold = best_threshold(pairs["gold"].to_numpy(), pairs["predicted"].to_numpy()).similarity
    axes.axvline(threshold, color="grey", linestyle=":", label=f"threshold of the best F1: {threshold:.2f}")
    finish_axes(axes, "Cosine similarity by label", "cosine similarity", "pairs")
    save_figure(figure, path)


def plot_precision_recall(pairs: pd.DataFrame, path: Path) -> None:
    """Write precision against recall of label 1 at all thresholds of the cosine similarity as PNG."""
    from sklearn.metrics import precision_recall_curve  # takes a second to import

    gold, predicted = pairs["gold"].to_numpy(), pairs["predicted"].to_numpy()
    precision, recall, _ = precision_recall_curve(gold, predicted)
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    axes.plot(recall, precision, drawstyle="steps-post")
    best = best_threshold(gold, predicted)
    label = f"best F1: {best.f1:.4f}, from a cosine of {best.similarity:.2f}"
    axes.plot(best.recall, best.precision, "o", color="C1", label=label)
    axes.axhline(gold.mean(), color="grey", linestyle=":", label=f"any order: {gold.mean():.2f}")
    axes.set_ylim(0, 1.02)
    finish_axes(axes, f"Precision and recall of label 1, {len(pairs):,} pairs", "recall", "precision")
    save_figure(figure, path)


def plot_ranks(queries: pd.DataFrame, path: Path) -> None:
    """Write the number of queries by rank of their best right answer as PNG; ranks beyond `CUTOFF` are one bar."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    ranks = [str(rank) for rank in range(1, CUTOFF + 1)] + ["beyond"]
    counts = np.bincount(np.minimum(queries["rank"], CUTOFF + 1).astype(int), minlength=CUTOFF + 2)[1:]
    bars = axes.bar(ranks, counts, color=["C2", *["C0"] * (CUTOFF - 1), "C3"])
    axes.bar_label(bars, [f"{count / len(queries):.0%}" if count else "" for count in counts])
    axes.margins(y=0.1)
    finish_axes(axes, f"Rank of the right answer, {len(queries):,} queries", "rank", "queries")
    save_figure(figure, path)


def plot_answers(queries: pd.DataFrame, path: Path) -> None:
    """Write the cosine of each query's best right answer against that of its best wrong candidate as PNG."""
    figure = new_figure(6, 5.5)
    axes = figure.subplots()
    compared = queries.dropna(subset=["predicted", "predicted_wrong"])
    first = compared["predicted"] > compared["predicted_wrong"]
    for part, color, order in ((first, "C0", "right answer first"), (~first, "C3", "wrong candidate first")):
        points = compared[part]
        label = f"{order}: {len(points):,}"
        axes.scatter(
            points["predicted_wrong"], points["predicted"], s=12, alpha=0.5, linewidths=0, c=color, label=label
        )
    if len(compared):
        both = compared[["predicted", "predicted_wrong"]].to_numpy()
        ends = [float(both.min()), float(both.max())]
        axes.plot(ends, ends, color="grey", linestyle=":")
    title = f"Right answer against best wrong candidate, {len(queries):,} queries"
    finish_axes(axes, title, "cosine of the best wrong candidate", "cosine of the right answer")
    save_figure(figure, path)


def _histograms(axes: "Axes", parts: Mapping[str, pd.Series], span: tuple[float, float] | None = None) -> None:
    """Draw histograms with equal bars, which cover all values and `span`."""
    values = pd.concat([*parts.values(), pd.Series(span or [], dtype=float)])
    bins = [float(edge) for edge in np.linspace(values.min(), values.max(), BINS + 1)]
    for label, part in parts.items():
        axes.hist(part, bins=bins, alpha=0.5, label=label)


Plot = Callable[[pd.DataFrame, Path], None]
OF_QUERIES: dict[str, Plot] = {"ranks": plot_ranks, "answers": plot_answers}
OF_SHAPE: dict[str, dict[str, Plot]] = {
    "scored": {"predicted": plot_predicted, "distributions": plot_scores},
    "labelled": {"precision_recall": plot_precision_recall, "distributions": plot_labels},
    "positives": OF_QUERIES,
    "triplets": OF_QUERIES,
}
"""Figures of each shape by file name."""
