"""Report of a comparison: the same tables for terminal and Markdown, and one figure."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.table import Table

from src.comparison.differences import Difference
from src.comparison.runs import ComparedRun
from src.evaluation.metrics import METRICS, SPEARMAN
from src.report.plots import finish_axes, new_figure, plot_interval, save_figure
from src.utils.console import console
from src.utils.files import write_text
from src.utils.text import escape_markdown

FILES = ("comparison.md", "comparison.png")


@dataclass(frozen=True)
class Block:
    """A titled table."""

    title: str
    header: list[str]
    rows: list[list[str]]


def report_blocks(runs: list[ComparedRun], found: list[Difference], disagreeing: pd.DataFrame) -> list[Block]:
    """Return the tables of a comparison."""
    return [_runs(runs), _differences(found), _parameters(runs), _disagreements(runs, disagreeing)]


def _runs(runs: list[ComparedRun]) -> Block:
    first = runs[0].result
    title = f"Runs, scored on {first.evaluated_pairs:,} pairs ({first.data_source}, {first.evaluated_on})"
    header = ["", "run", "id", "base encoder", "Spearman [95 %]", "Pearson [95 %]", "steps", "seconds"]
    return Block(title, header, [_run(run) for run in runs])


def _run(run: ComparedRun) -> list[str]:
    result = run.result
    scores = [str(result.scores[name]) for name in METRICS]
    cost = [str(result.steps), f"{result.train_seconds:.0f}"]
    return [run.letter, run.reference, result.run_id, result.base_model, *scores, *cost]


def _differences(found: list[Difference]) -> Block:
    header = ["", "Spearman", "95 % interval", "p (Holm)", "verdict"]
    rows = []
    for each in found:
        value, low, high = (f"{number:+.4f}" for number in each.estimate)
        name, interval = f"{each.second} − {each.first}", f"[{low}, {high}]"
        rows.append([name, value, interval, f"{each.p_value:.4f}", each.verdict])
    return Block("Differences (paired bootstrap, permutation test)", header, rows)


def _parameters(runs: list[ComparedRun]) -> Block:
    names = dict.fromkeys(name for run in runs for name in run.parameters)
    values = {name: [run.parameters.get(name, "–") for run in runs] for name in names}
    rows = [[name, *row] for name, row in values.items() if len(set(row)) > 1]
    return Block("Parameters that differ", ["", *(run.letter for run in runs)], rows)


def _disagreements(runs: list[ComparedRun], table: pd.DataFrame) -> Block:
    numbers = ["gold", *(run.letter for run in runs), "spread"]
    rows = [
        [row["sentence1"], row["sentence2"], *(f"{row[name]:.2f}" for name in numbers)]
        for row in table.to_dict("records")
    ]
    title = "Pairs ranked most differently (spread: distance of their ranks, as a share of all pairs)"
    return Block(title, ["sentence 1", "sentence 2", *numbers], rows)


def print_blocks(blocks: list[Block]) -> None:
    """Print the tables to the terminal."""
    for block in blocks:
        table = Table(title=block.title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for name in block.header:
            table.add_column(name, overflow="fold")
        for row in block.rows or [["none"]]:
            table.add_row(*row)
        console.print()
        console.print(table)


def write_report(
    folder: Path, title: str, blocks: list[Block], runs: list[ComparedRun], found: list[Difference]
) -> None:
    """Write `FILES` into the folder: the tables as Markdown below the figure of curves and differences."""
    markdown, image = FILES
    plot_comparison(runs, found, folder / image)
    parts = [f"# {escape_markdown(title)}", f"![curves and differences]({image})", *map(_to_markdown, blocks)]
    write_text(folder / markdown, "\n\n".join(parts) + "\n")


def _to_markdown(block: Block) -> str:
    if not block.rows:
        return f"## {escape_markdown(block.title)}\n\nNone."
    lines = [block.header, ["---"] * len(block.header), *block.rows]
    return f"## {escape_markdown(block.title)}\n\n" + "\n".join(
        f"| {' | '.join(map(escape_markdown, line))} |" for line in lines
    )


def plot_comparison(runs: list[ComparedRun], found: list[Difference], path: Path) -> None:
    """Write the curves of all runs, and their differences with intervals, as PNG."""
    figure = new_figure(12, 4.5)
    curves, intervals = figure.subplots(1, 2)
    for run in runs:
        label = f"{run.letter}  {run.reference[-40:]}"
        curves.plot(run.curve["epoch"], run.curve[SPEARMAN], "o-", label=label)
    finish_axes(curves, "Spearman on dev", "epoch", "Spearman")
    for height, each in enumerate(reversed(found)):
        plot_interval(intervals, each.estimate, height, "C2" if each.significant else "grey")
    intervals.set_yticks(range(len(found)), [f"{each.second} − {each.first}" for each in reversed(found)])
    intervals.axvline(0, color="black", linewidth=0.8)
    intervals.margins(y=0.3)
    finish_axes(intervals, "Difference in Spearman, 95 % interval (green: significant)", "difference", "")
    save_figure(figure, path)
