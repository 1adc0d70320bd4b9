"""Plots of a finished run, drawn from the files in its folder."""

from pathlib import Path

import numpy as np
import pandas as pd

from src.evaluation.metrics import NDCG, SPEARMAN, TRAINING_LOSS, VALIDATION_LOSS, Metric, as_labels
from src.evaluation.names import by_dimension, headline, label_of, rows_of
from src.evaluation.result import Result, read_curve
from src.evaluation.slices import Slice, slices
from src.evaluation.statistics import Estimate
from src.report.figures import finish_axes, new_figure, plot_interval, save_figure
from src.report.prediction_plots import OF_SHAPE
from src.report.worst_pairs import write_worst_cases
from src.utils.files import atomic_write

CURVE_TITLES = {
    SPEARMAN: ("Correlation of cosine similarity and score, dev", "correlation"),
    NDCG: ("Right answers found by cosine similarity, dev", "metric"),
}
"""Title and label of the axis by leading metric, where there is more to say than that they are metrics."""


def plot_files(result: Result) -> list[str]:
    """Return the files that `draw_plots` writes for a result.

    predictions.csv has the numbers of predictions.parquet without the texts, for other plotting tools such as DVC's.
    """
    dimensions = ["dimensions"] if by_dimension(result.metric.name, result.scores) else []
    figures = ["curve", "losses", *OF_SHAPE[result.shape], "slices", *dimensions]
    return [*(f"plots/{name}.png" for name in figures), "plots/worst_pairs.html", "plots/predictions.csv"]


def draw_plots(folder: Path, result: Result, seed: int, published: float | None) -> None:
    """Write `plot_files` into `folder`, from its curve.csv and predictions.parquet.

    `seed`: seed of the bootstrap; `published`: leading metric of a published model card on the same pairs.
    """
    metric, plots = result.metric, folder / "plots"
    curve, predictions = read_curve(folder, metric.name), pd.read_parquet(folder / "predictions.parquet")
    if metric.of_similarities:
        predictions["gold"] = as_labels(predictions["gold"].to_numpy())  # rounded as for the metrics
    selected = result.leading if result.evaluated_on == "dev" else None
    seeds = result.seeds.count if result.seeds and result.is_average else 1
    plot_curve(curve, metric, selected, published, plots / "curve.png", seeds)
    plot_losses(curve, plots / "losses.png")
    for name, plot in OF_SHAPE[result.shape].items():
        plot(predictions, plots / f"{name}.png")
    plot_slices(slices(predictions, result.shape, seed), metric, result.leading.value, plots / "slices.png")
    if dims := by_dimension(metric.name, result.scores):
        scores = {dim: result.scores[name] for dim, name in dims.items()}
        plot_dimensions(metric, result.leading, scores, plots / "dimensions.png")
    write_worst_cases(predictions, result.shape, result.experiment, plots / "worst_pairs.html")
    with atomic_write(plots / "predictions.csv") as temporary:
        predictions.select_dtypes("number").to_csv(temporary, index=False, float_format="%.6f")


def plot_curve(
    curve: pd.DataFrame, metric: Metric, selected: Estimate | None, published: float | None, path: Path, seeds: int = 1
) -> None:
    """Write the metrics on dev over the steps as PNG; `curve` has the columns of curve.csv.

    `selected` is the leading `metric` on dev of the saved weights: those of the last step, of the best evaluation, or
    the mean over several `seeds`, of whose curves `curve` is the mean.
    """
    names = headline(curve.columns)
    many = len(names) > 2
    figure = new_figure(12 if many else 8, 4.5)
    axes = figure.subplots()
    for name in names:
        style, alpha = ("o-", 1.0) if name == metric.name else ("s--", 0.6)
        axes.plot(curve["step"], curve[name], style, alpha=alpha, label=label_of(name))
    if selected is not None:
        score, low, high = selected
        right = 1.04 * curve["step"].iloc[-1]  # right of the curve: with keep=best not the last step
        errors = [[max(score - low, 0)], [max(high - score, 0)]]
        label = f"{metric.label} of the saved weights: {score:.4f}, 95 % interval"
        axes.errorbar([right], [score], yerr=errors, fmt="D", color=f"C{len(names)}", capsize=4, label=label)
    if published is not None:
        axes.axhline(published, color="grey", linestyle=":", label=f"published card: {published:.4f}")
    title, y = CURVE_TITLES.get(metric.name, ("Metrics on dev", "metric"))
    finish_axes(axes, f"{title}, mean of {seeds} seeds" if seeds > 1 else title, "step", y)
    if many:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))  # beside the curves, which would be hidden
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


def plot_slices(parts: list[Slice], metric: Metric, overall: float, path: Path) -> None:
    """Write a metric with its 95 % interval on each slice as PNG; `overall` is that of all pairs or queries."""
    figure = new_figure(9, 1.5 + 0.4 * len(parts))
    axes, rows = figure.subplots(), rows_of(metric)
    features = list(dict.fromkeys(part.feature for part in parts))
    for height, part in enumerate(reversed(parts)):
        plot_interval(axes, part.estimate, height, f"C{features.index(part.feature)}")
    labels = [f"{part.feature} {part.label} ({part.rows:,})" for part in reversed(parts)]
    axes.set_yticks(range(len(parts)), labels)
    axes.axvline(overall, color="grey", linestyle=":", label=f"all {rows}: {overall:.4f}")
    finish_axes(axes, f"{metric.label} by slice ({rows}), 95 % interval", metric.label, "")
    save_figure(figure, path)


def plot_dimensions(metric: Metric, whole: Estimate, scores: dict[int, Estimate], path: Path) -> None:
    """Write a metric of whole embeddings and of embeddings cut to fewer dimensions, with 95 % intervals, as PNG."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    estimates = [whole, *scores.values()]
    values, lows, highs = np.array(estimates).T
    errors = [np.maximum(values - lows, 0), np.maximum(highs - values, 0)]
    axes.errorbar(range(len(estimates)), values, yerr=errors, fmt="o-", capsize=4)
    axes.set_xticks(range(len(estimates)), ["all", *map(str, scores)])
    finish_axes(axes, f"{metric.label} by number of dimensions, 95 % interval", "dimensions", metric.label)
    save_figure(figure, path)
