"""Train a run again from what it recorded, and compare the curves: python -m src.reproduce RUN.

A RUN is named as for `src.compare`. The working tree and the store stay as they are.
"""

import sys

from src.cli import Parser, parser_command
from src.config.tracking import VARIABLE, check_uri, default_uri, is_missing
from src.utils.console import LOGGER as log
from src.utils.errors import UserError

TOLERANCE = 1e-4
"""Largest difference of a metric between curves that count as equal; a change of threads alone can cause one."""


def run(reference: str, uri: str) -> None:
    """Train the run again, log the verdict and exit: code 0 if the curves are equal within `TOLERANCE`, else 1."""
    check_uri(uri, "--uri")
    if is_missing(uri):
        raise UserError(f"--uri {uri}: expected an MLflow store, found no such file: check --uri.")
    from src.pipeline.reproduce import reproduce  # imports torch, which takes seconds: after the check

    difference = reproduce(reference, uri)
    log.info("\n%s", verdict(difference))
    sys.exit(0 if difference <= TOLERANCE else 1)


def verdict(difference: float) -> str:
    """Return a sentence that says whether the curves are equal."""
    if difference == 0:
        return "The same curve, to the last digit."
    if difference <= TOLERANCE:
        return f"The same curve within {TOLERANCE:g}: the largest difference is {difference:.2g}."
    return f"The curves differ: the largest difference is {difference:.2g}, more than {TOLERANCE:g}."


def parser() -> Parser:
    """Return the parser of the command line."""
    command = Parser("python -m src.reproduce", description=str(__doc__).partition("\n")[0])
    command.add_argument("reference", metavar="RUN")
    command.add_argument(
        "--uri", default=default_uri(), help=f"MLflow store (default: {VARIABLE}, else mlruns/mlflow.db)"
    )
    return command


if __name__ == "__main__":
    parser_command(run, parser())()
