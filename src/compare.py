"""Which of several runs is better: python -m src.compare RUN RUN [RUN …].

A RUN is an experiment folder, its name, a run id, a run name, an MLflow experiment (its latest run), or models:/NAME/3.
"""

import argparse
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from src.comparison.candidates import read_candidates
from src.comparison.picture import plot_comparison
from src.comparison.report import blocks, print_blocks, to_markdown
from src.comparison.verdict import Difference, differences, disagreements
from src.config.tracking import TrackingConfig
from src.entry import one_sentence
from src.errors import UserError
from src.files import replacing
from src.tracking import log_files

MOST = 26
"""Runs have a letter each."""


class Parser(ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise `UserError`."""
        raise UserError(f"{message}: expected {self.format_usage().removeprefix('usage: ').strip()}.")


def parser() -> Parser:
    """Return the parser of the command line."""
    command = Parser("python -m src.compare", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.usage = "python -m src.compare RUN RUN [RUN …] [--output FOLDER] [--log] [--uri URI] [--pairs N]"
    command.add_argument("runs", nargs="+", metavar="RUN")
    command.add_argument("--output", type=Path, help="write comparison.md and comparison.png into this folder")
    command.add_argument("--log", action="store_true", help="record them in MLflow too, as a run of `comparisons`")
    command.add_argument("--uri", default=TrackingConfig.uri, help="MLflow store (default: %(default)s)")
    command.add_argument("--pairs", type=int, default=10, help="disagreements to show (default: %(default)s)")
    return command


def run(runs: list[str], uri: str, output: Path | None = None, log: bool = False, pairs: int = 10) -> list[Difference]:
    """Print the comparison of `runs`, write it to `output` and log it if asked; return the differences."""
    if not 2 <= len(runs) <= MOST:
        raise UserError(f"expected 2 to {MOST} runs to compare, found {len(runs)}: name them one after the other.")
    with tempfile.TemporaryDirectory() as scratch:
        candidates = read_candidates(runs, uri, Path(scratch))
        found = differences(candidates)
        tables = blocks(candidates, found, disagreements(candidates, pairs))
        print_blocks(tables)
        folder = output or Path(scratch) / "report"
        plot_comparison(candidates, found, folder / "comparison.png")
        with replacing(folder / "comparison.md") as draft:
            draft.write_text(to_markdown(" against ".join(runs), tables, "comparison.png"), encoding="utf-8")
        if log:
            tags = {f"compared.{one.letter}": one.metrics["run_id"] for one in candidates}
            log_files(uri, "comparisons", [folder / "comparison.md", folder / "comparison.png"], tags)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; leave with exit code 2 and one sentence for a mistake of the user."""
    with one_sentence():
        run(**vars(parser().parse_args(arguments)))


if __name__ == "__main__":
    main()
