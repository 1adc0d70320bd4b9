"""Pictures of a run."""

from pathlib import Path

from matplotlib.figure import Figure

from src.files import replacing
from src.metrics.statistics import Interval
from src.training.curve import CurveRow


def plot_curve(rows: list[CurveRow], interval: Interval, published: float | None, path: Path) -> None:
    """Write the correlations and losses over the steps as PNG.

    `interval` belongs to the last Spearman; `published` is the figure of a published model card, if comparable.
    """
    steps = [row.step for row in rows]
    figure = Figure(figsize=(10, 4), layout="constrained", dpi=120)
    correlation, loss = figure.subplots(1, 2)
    correlation.plot(steps, [row.spearman_cosine for row in rows], "o-", label="Spearman")
    correlation.plot(steps, [row.pearson_cosine for row in rows], "s--", alpha=0.6, label="Pearson")
    last = rows[-1].spearman_cosine
    spread = [[max(last - interval.low, 0)], [max(interval.high - last, 0)]]
    correlation.errorbar(steps[-1:], [last], yerr=spread, color="C0", capsize=4, label="95 % interval")
    if published is not None:
        correlation.axhline(published, color="grey", linestyle=":", label=f"published card: {published:.4f}")
    correlation.set(title="sts-dev", xlabel="step", ylabel="correlation of cosine similarity and score")
    loss.plot(steps, [row.training_loss for row in rows], "o-", label="training")
    loss.plot(steps, [row.validation_loss for row in rows], "s-", label="validation")
    loss.set(title="Loss", xlabel="step", ylabel="loss", ylim=(0, None))
    for axes in (correlation, loss):
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as draft:
        figure.savefig(draft, format="png")
