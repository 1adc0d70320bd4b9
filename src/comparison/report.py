"""A comparison as tables, the same ones for the terminal and for Markdown."""

from dataclasses import dataclass

import pandas as pd
from rich.table import Table

from src.comparison.candidates import Candidate
from src.comparison.verdict import Difference
from src.report.console import console


@dataclass(frozen=True)
class Block:
    """A titled table."""

    title: str
    header: list[str]
    rows: list[list[str]]


def blocks(candidates: list[Candidate], found: list[Difference], disagreeing: pd.DataFrame) -> list[Block]:
    """Return the tables of a comparison."""
    return [
        _runs(candidates),
        _differences(found),
        _parameters(candidates),
        _disagreements(candidates, disagreeing),
    ]


def _runs(candidates: list[Candidate]) -> Block:
    metrics = candidates[0].metrics
    title = (
        f"Runs, scored on {metrics['evaluated_pairs']:,} pairs ({metrics['data_source']}, {metrics['evaluated_on']})"
    )
    header = ["", "run", "id", "base encoder", "Spearman [95 %]", "Pearson [95 %]", "steps", "seconds"]
    return Block(title, header, [_run(candidate) for candidate in candidates])


def _run(candidate: Candidate) -> list[str]:
    metrics = candidate.metrics
    scores = [
        f"{metrics[name]:.4f} [{metrics[f'{name}_low']:.4f}, {metrics[f'{name}_high']:.4f}]"
        for name in ("spearman_cosine", "pearson_cosine")
    ]
    names = [candidate.letter, candidate.reference, metrics["run_id"], metrics["base_model"]]
    return [*names, *scores, str(metrics["steps"]), f"{metrics['train_seconds']:.0f}"]


def _differences(found: list[Difference]) -> Block:
    header = ["", "Spearman", "95 % interval", "p (Holm)", "verdict"]
    rows = [
        [
            f"{each.second} − {each.first}",
            f"{each.value:+.4f}",
            f"[{each.interval.low:+.4f}, {each.interval.high:+.4f}]",
            f"{each.p_value:.4f}",
            each.verdict,
        ]
        for each in found
    ]
    return Block("Differences (paired bootstrap, permutation test)", header, rows)


def _parameters(candidates: list[Candidate]) -> Block:
    names = dict.fromkeys(name for candidate in candidates for name in candidate.parameters)
    values = {name: [candidate.parameters.get(name, "–") for candidate in candidates] for name in names}
    rows = [[name, *row] for name, row in values.items() if len(set(row)) > 1]
    return Block("Parameters that differ", ["", *(candidate.letter for candidate in candidates)], rows)


def _disagreements(candidates: list[Candidate], table: pd.DataFrame) -> Block:
    letters = [candidate.letter for candidate in candidates]
    rows = [
        [row["sentence1"], row["sentence2"], *(f"{row[name]:.2f}" for name in ("gold", *letters, "spread"))]
        for row in table.to_dict("records")
    ]
    title = "Pairs they disagree on most (spread: distance of their ranks, as a share of all pairs)"
    return Block(title, ["sentence 1", "sentence 2", "gold", *letters, "spread"], rows)


def print_blocks(shown: list[Block]) -> None:
    """Print the tables to the terminal."""
    for block in shown:
        table = Table(title=block.title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for name in block.header:
            table.add_column(name, overflow="fold")
        for row in block.rows or [["none"]]:
            table.add_row(*row)
        console.print()
        console.print(table)


def to_markdown(title: str, shown: list[Block], image: str) -> str:
    """Return the tables as Markdown below the picture `image`."""
    parts = [f"# {title}", f"![curves and differences]({image})", *map(_markdown_table, shown)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(block: Block) -> str:
    if not block.rows:
        return f"## {block.title}\n\nNone."
    lines = [block.header, ["---"] * len(block.header), *block.rows]
    return f"## {block.title}\n\n" + "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    for character in "\\|<>*_`[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
