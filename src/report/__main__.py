"""Draw the plots of a finished run again: python -m src.report experiments/review_sts."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped, unused-ignore]

from src.cli import Parser, parser_command
from src.evaluation.metrics import SPEARMAN
from src.evaluation.result import Result, missing_file
from src.report.plots import draw_plots
from src.utils.errors import UserError, shorten


def parser() -> Parser:
    """Return the parser of the command line."""
    command = Parser("python -m src.report", description=__doc__)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="folder of a finished run")
    return command


def run(folder: Path) -> None:
    """Draw plots/ of the run in `folder` from its files; raise `UserError` if one is missing."""
    if missing := missing_file(folder):
        raise UserError(f"{folder}: expected a finished run, found no {missing}: train it first.")
    result = Result.load(folder)
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=False)
        seed, published = int(config["trainer"]["seed"]), dict(config["published"])
        draw_plots(folder, result, seed, result.comparable(published).get(SPEARMAN))
    except (ValueError, KeyError, TypeError, IndexError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(
            f"{folder}: expected a complete result, found {type(error).__name__}: {shorten(error)}: train it again."
        ) from error


if __name__ == "__main__":
    parser_command(run, parser())()
