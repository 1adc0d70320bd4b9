"""Compare finished runs on the same evaluation examples: python -m src.compare RUN RUN [RUN …].

A RUN is an experiment folder, its name, a run id, a run name, an MLflow experiment (its latest run), models:/NAME/3,
or recipe:HASH for all seeds of a recipe: the tag `recipe` of its runs, or at least 4 digits of it.
"""

import argparse
import tempfile
from pathlib import Path
from string import ascii_uppercase

from src.cli import Parser, parser_command
from src.comparison.differences import Difference, differences, disagreements
from src.comparison.report import FILES, report_blocks, write_report
from src.comparison.runs import read_runs
from src.config.tracking import VARIABLE, TrackingConfig, check_uri, default_uri, is_missing
from src.report.blocks import print_blocks
from src.utils.console import log_links
from src.utils.errors import UserError

MAX_RUNS = len(ascii_uppercase)
"""Runs are named by the letters A to Z."""


def parser() -> Parser:
    """Return the parser of the command line."""
    command = Parser("python -m src.compare", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.usage = "python -m src.compare RUN RUN [RUN …] [--output FOLDER] [--log] [--uri URI] [--pairs N]"
    command.add_argument("runs", nargs="+", metavar="RUN")
    command.add_argument("--output", type=Path, help="write comparison.md and comparison.png into this folder")
    command.add_argument("--log", action="store_true", help="log the comparison in MLflow, in `comparisons`")
    command.add_argument(
        "--uri", default=default_uri(), help=f"MLflow store (default: {VARIABLE}, else mlruns/mlflow.db)"
    )
    command.add_argument("--pairs", type=int, default=10, help="disagreements to show (default: %(default)s)")
    return command


def run(runs: list[str], uri: str, output: Path | None = None, log: bool = False, pairs: int = 10) -> list[Difference]:
    """Print the comparison of `runs`, write it to `output` and log it in MLflow if asked to; return the differences."""
    if not 2 <= len(runs) <= MAX_RUNS:
        raise UserError(f"expected 2 to {MAX_RUNS} runs to compare, found {len(runs)}: name them one after the other.")
    check_uri(uri, "--uri")
    with tempfile.TemporaryDirectory() as scratch:
        compared = read_runs(runs, uri, Path(scratch))
        found = differences(compared)
        blocks = report_blocks(compared, found, disagreements(compared, pairs))
        print_blocks(blocks)
        title = " against ".join(one.reference for one in compared)
        if output or log:
            folder = output or Path(scratch) / "report"
            write_report(folder, title, blocks, compared, found)
        if log:
            from src.tracking import log_files  # imports MLflow, which takes seconds: only if needed

            tags = {f"compared.{one.letter}": " ".join(one.run_ids) for one in compared}
            log_files(uri, "comparisons", title, [folder / name for name in FILES], tags)
    log_curves(uri, [run_id for one in compared for run_id in one.run_ids], compared[0].metric.name)
    return found


def log_curves(uri: str, run_ids: list[str], metric: str) -> None:
    """Log the address of the chart with the runs' curves of a metric; nothing unless the store has all of them."""
    if is_missing(uri):
        return
    from src.tracking import experiments_of  # imports MLflow, which takes seconds: after everything else is printed
    from src.tracking.links import curves_page, ui_address, ui_title

    if experiments := experiments_of(uri, run_ids):
        tracking = TrackingConfig(uri=uri)
        log_links(f"\n{ui_title(tracking)}", {"curves": curves_page(ui_address(tracking), experiments, metric)})


if __name__ == "__main__":
    parser_command(run, parser())()
