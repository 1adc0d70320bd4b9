"""Draw the plots of a finished run again: python -m src.report experiments/review_sts."""

from pathlib import Path

from src.cli import Parser, parser_command
from src.config.files import read_settings
from src.config.training import TrainerConfig
from src.evaluation.result import Result, missing_file
from src.report.plots import draw_plots
from src.utils.errors import UserError, shorten


def parser() -> Parser:
    """Return the parser of the command line."""
    command = Parser("python -m src.report", description=__doc__)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="folder of a finished run")
    return command


def run(folder: Path) -> None:
    """Draw plots/ of the run in `folder` from its files; raise `UserError` if one is missing or damaged."""
    if missing := missing_file(folder):
        raise UserError(f"{folder}: expected a finished run, found no {missing}: train it first.")
    result = Result.load(folder)
    settings = read_settings(folder / "config.yaml")
    try:
        seed = TrainerConfig(seed=int(settings["trainer"]["seed"])).seed
        published = {name: float(value) for name, value in settings["published"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder}/config.yaml: expected trainer.seed and published with numbers, found {shorten(repr(error))}:"
            " train it again."
        ) from error
    try:
        draw_plots(folder, result, seed, result.comparable(published).get(result.metric.name))
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{folder}: expected a complete result, found {type(error).__name__}: {shorten(error)}: train it again."
        ) from error


if __name__ == "__main__":
    parser_command(run, parser())()
