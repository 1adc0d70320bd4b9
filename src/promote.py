"""Make the model of a run the champion of its experiment: python -m src.promote RUN [--force REASON].

A RUN is named as for `src.compare`. models:/NAME@champion moves to its registered model if this scores significantly
higher than the present champion on the same pairs (paired 95 % interval above 0, p below 0.05), or is the first.
Exit codes: 0, it is the champion; 1, it has not earned it; 2, a mistake, such as runs on different pairs.
"""

import argparse
import sys

from src.cli import Parser, parser_command
from src.comparison.champion import promote
from src.config.tracking import VARIABLE, check_uri, default_uri
from src.utils.console import LOGGER as log


def run(reference: str, uri: str, force: str | None = None) -> None:
    """Promote the run's model if it has earned it, log the outcome and exit: code 0 if it is the champion, else 1."""
    check_uri(uri, "--uri")
    promotion = promote(reference, uri, force)
    log.info("%s", promotion.sentence)
    sys.exit(0 if promotion.champion else 1)


def parser() -> Parser:
    """Return the parser of the command line."""
    command = Parser("python -m src.promote", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.add_argument("reference", metavar="RUN")
    command.add_argument("--force", metavar="REASON", help="promote without a comparison; the reason is recorded")
    command.add_argument(
        "--uri", default=default_uri(), help=f"MLflow store (default: {VARIABLE}, else mlruns/mlflow.db)"
    )
    return command


if __name__ == "__main__":
    parser_command(run, parser())()
