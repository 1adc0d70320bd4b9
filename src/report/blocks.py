"""Titled tables of a report, the same for terminal and Markdown."""

from dataclasses import dataclass

from rich.table import Table

from src.utils.console import console
from src.utils.text import escape_markdown


@dataclass(frozen=True)
class Block:
    """A titled table."""

    title: str
    header: list[str]
    rows: list[list[str]]


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


def to_markdown(block: Block, level: int = 2) -> str:
    """Return a table as Markdown, with a heading of this level."""
    title = f"{'#' * level} {escape_markdown(block.title)}"
    if not block.rows:
        return f"{title}\n\nNone."
    lines = [block.header, ["---"] * len(block.header), *block.rows]
    return f"{title}\n\n" + "\n".join(f"| {' | '.join(map(escape_markdown, line))} |" for line in lines)


def show_p_value(p_value: float) -> str:
    """Return a p-value with four digits."""
    return f"{p_value:.4f}" if p_value >= 1e-4 else "< 0.0001"
