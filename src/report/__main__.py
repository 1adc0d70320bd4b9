"""Draw the plots of a finished run again: python -m src.report experiments/review_sts."""

from pathlib import Path

from omegaconf import OmegaConf

from src.cli import Parser, parser_command
from src.evaluation.metrics import SPEARMAN
from src.evaluation.result import Result, missing_file
from src.report.plots import draw_plots
from src.utils.errors import UserError


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
    config = OmegaConf.load(folder / "config.yaml")
    draw_plots(folder, result, config.trainer.seed, result.comparable(config.published).get(SPEARMAN))


if __name__ == "__main__":
    parser_command(run, parser())()
