"""Report of a comparison: the same tables for terminal and Markdown, and one figure."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from src.comparison.differences import Difference
from src.comparison.runs import ComparedRun
from src.evaluation.metrics import Metric, metrics_of
from src.evaluation.seeds import SeedScores
from src.report.blocks import Block, show_p_value, to_markdown
from src.report.figures import finish_axes, new_figure, plot_interval, save_figure
from src.utils.files import write_text
from src.utils.text import escape_markdown

FILES = ("comparison.md", "comparison.png")


def report_blocks(runs: list[ComparedRun], found: list[Difference], disagreeing: pd.DataFrame) -> list[Block]:
    """Return the tables of a comparison."""
    return [_runs(runs), _differences(found, runs[0]), _parameters(runs), _disagreements(runs, disagreeing)]


def _runs(runs: list[ComparedRun]) -> Block:
    first = runs[0].result
    evaluated = f"{len(runs[0].rows):,} {runs[0].unit}"
    title = f"Runs, scored on {evaluated} ({first.data_source}, {first.evaluated_on})"
    metrics = metrics_of(first.shape)
    labels = [f"{metric.label} [95 %]" for metric in metrics]
    header = ["", "run", "id", "base encoder", *labels, "steps", "seconds"]
    return Block(title, header, [_run(run, metrics) for run in runs])


def _run(run: ComparedRun, metrics: tuple[Metric, ...]) -> list[str]:
    steps = ", ".join(dict.fromkeys(str(result.steps) for result in run.results))
    seconds = f"{np.mean([result.train_seconds for result in run.results]):.0f}"
    one = [run.letter, run.reference, run.result.run_id, run.result.base_model]
    if len(run.results) == 1:
        return [*one, *(str(run.result.scores[metric.name]) for metric in metrics), steps, seconds]
    one[2] = f"{len(run.results)} seeds: {run.parameters.get('trainer.seed', 'unknown')}"
    return [*one, *(_mean(run.scores(metric)) for metric in metrics), steps, f"{seconds} each"]


def _mean(scores: SeedScores) -> str:
    return f"{scores.mean}, deviation {scores.deviation:.4f}"


def _differences(found: list[Difference], run: ComparedRun) -> Block:
    header = ["", run.metric.label, "95 % interval", "p (Holm)", "verdict"]
    rows = []
    for each in found:
        value, low, high = (f"{number:+.4f}" for number in each.estimate)
        name, interval = f"{each.second} − {each.first}", f"[{low}, {high}]"
        rows.append([name, value, interval, show_p_value(each.p_value), each.verdict])
    single = [each.seeds == (1, 1) for each in found]
    tests = [*["permutation test"] * any(single), *[f"Welch’s t over {run.unit} and seeds"] * (not all(single))]
    return Block(f"Differences (paired bootstrap, {' or '.join(tests)})", header, rows)


def _parameters(runs: list[ComparedRun]) -> Block:
    names = dict.fromkeys(name for run in runs for name in run.parameters)
    values = {name: [run.parameters.get(name, "–") for run in runs] for name in names}
    rows = [[name, *row] for name, row in values.items() if len(set(row)) > 1]
    return Block("Parameters that differ", ["", *(run.letter for run in runs)], rows)


def _disagreements(runs: list[ComparedRun], table: pd.DataFrame) -> Block:
    letters, metric = [run.letter for run in runs], runs[0].metric
    texts, numbers = {"anchor": "query"}, [*letters, "spread"]
    title = f"Queries on which they differ most ({metric.label} of each)"
    if metric.of_similarities:
        texts, numbers = {"sentence1": "sentence 1", "sentence2": "sentence 2"}, ["gold", *numbers]
        title = "Pairs ranked most differently (spread: distance of their ranks, as a share of all pairs)"
    rows = [
        [*(row[name] for name in texts), *(f"{row[name]:.2f}" for name in numbers)] for row in table.to_dict("records")
    ]
    return Block(title, [*texts.values(), *numbers], rows)


def write_report(
    folder: Path, title: str, blocks: list[Block], runs: list[ComparedRun], found: list[Difference]
) -> None:
    """Write `FILES` into the folder: the tables as Markdown below the figure of curves and differences."""
    markdown, image = FILES
    plot_comparison(runs, found, folder / image)
    parts = [f"# {escape_markdown(title)}", f"![curves and differences]({image})", *map(to_markdown, blocks)]
    write_text(folder / markdown, "\n\n".join(parts) + "\n")


def plot_comparison(runs: list[ComparedRun], found: list[Difference], path: Path) -> None:
    """Write the curves of all runs, and their differences with intervals, as PNG."""
    figure, metric = new_figure(12, 4.5), runs[0].metric
    curves, intervals = figure.subplots(1, 2)
    for run in runs:
        _plot_curves(curves, run)
    finish_axes(curves, f"{metric.label} on dev", "epoch", metric.label)
    for height, each in enumerate(reversed(found)):
        plot_interval(intervals, each.estimate, height, "C2" if each.significant else "grey")
    intervals.set_yticks(range(len(found)), [f"{each.second} − {each.first}" for each in reversed(found)])
    intervals.axvline(0, color="black", linewidth=0.8)
    intervals.margins(y=0.3)
    finish_axes(intervals, f"Difference in {metric.label}, 95 % interval (green: significant)", "difference", "")
    save_figure(figure, path)


def _plot_curves(axes: Axes, run: ComparedRun) -> None:
    """Draw the mean curve of all seeds where all have been evaluated, and a thin line for each of several."""
    seeds = len(run.curves)
    by_epoch = pd.concat(run.curves).groupby("epoch")[run.metric.name]
    mean = by_epoch.mean()[by_epoch.size() == seeds]
    name = run.reference[-40:] if seeds == 1 else f"{run.reference.partition(' ')[0]}, {seeds} seeds"
    (line,) = axes.plot(mean.index, mean, "o-", label=f"{run.letter}  {name}")
    for curve in run.curves if seeds > 1 else ():
        axes.plot(curve["epoch"], curve[run.metric.name], color=line.get_color(), linewidth=0.8, alpha=0.5)
