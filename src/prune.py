"""List the logged models that can be given up, and remove them: python -m src.prune [--keep N] [--delete].

Kept are registered models (a champion among them), models of running runs, and the best N of each experiment by
their leading metric. Only models and their files are removed: a run keeps its metrics, parameters, tags and other
artifacts.
"""

import argparse
import logging
import math
from typing import TYPE_CHECKING

from src.cli import Parser, parser_command
from src.config.tracking import VARIABLE, check_uri, default_uri, is_missing, redact
from src.utils.errors import require

if TYPE_CHECKING:
    from src.tracking.survey import PrunedModel

log = logging.getLogger("src.prune")


def parser() -> Parser:
    """Return the parser of the command line."""
    command = Parser("python -m src.prune", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    command.usage = "python -m src.prune [--keep N] [--experiment NAME …] [--delete] [--uri URI]"
    command.add_argument("--keep", type=int, default=3, metavar="N", help="best models to keep (default: %(default)s)")
    command.add_argument(
        "--experiment", action="append", default=[], metavar="NAME", help="only this one; may be repeated"
    )
    command.add_argument("--delete", action="store_true", help="remove the models; without it, they are only listed")
    command.add_argument(
        "--uri", default=default_uri(), help=f"MLflow store (default: {VARIABLE}, else mlruns/mlflow.db)"
    )
    return command


def run(
    uri: str, keep: int = 3, experiment: list[str] | tuple[str, ...] = (), delete: bool = False
) -> "list[PrunedModel]":
    """Print the models of the experiments; remove those to be given up if asked to; return these."""
    require(keep >= 0, "--keep", "at least 0", keep)
    check_uri(uri, "--uri")
    require(not is_missing(uri), "--uri", "an MLflow store that exists", redact(uri))
    from rich.filesize import decimal

    from src.report.blocks import Block, print_blocks
    from src.tracking.pruning import list_models, remove_models  # imports MLflow, which takes seconds

    models = list_models(uri, list(experiment), keep)
    for label in dict.fromkeys(model.metric.label for model in models) or ["score"]:
        header = ["experiment", "run", "run id", label, "size", "verdict"]
        rows = [_row(model, decimal(model.size)) for model in models if model.metric.label == label]
        print_blocks([Block("Logged models", header, rows)])
    found = [model for model in models if model.removable]
    if delete:
        found = remove_models(uri, found)
    size, one = decimal(sum(model.size for model in found)), len(found) == 1
    amount = f"{size} in {len(found):,} model{'' if one else 's'}"
    if not found:
        log.info("Nothing removed." if delete else "Nothing to remove.")
    else:
        log.info(
            f"freed {amount}" if delete else f"would free {amount}: give --delete to remove {'it' if one else 'them'}"
        )
    return found


def _row(model: "PrunedModel", size: str) -> list[str]:
    score = f"{model.score:.4f}" if math.isfinite(model.score) else "–"
    verdict = f"{'remove' if model.removable else 'keep'}: {model.reason}"
    return [model.experiment, model.run_name, model.run_id, score, size, verdict]


if __name__ == "__main__":
    parser_command(run, parser())()
