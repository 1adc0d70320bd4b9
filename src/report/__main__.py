"""Draw the pictures of a finished run again: python -m src.report experiments/review_sts."""

import json
import sys
from pathlib import Path

from omegaconf import OmegaConf

from src.entry import one_sentence
from src.errors import UserError
from src.metrics.names import SPEARMAN
from src.report.pictures import draw

NEEDED = ("metrics.json", "config.yaml", "curve.csv", "predictions.parquet")


def run(folder: Path) -> None:
    """Draw plots/ of the run in `folder` from its files; raise `UserError` where one is missing."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder}: expected a finished run, found no {missing[0]}: train it first.")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    config = OmegaConf.load(folder / "config.yaml")
    published = None if metrics["data_source"] == "sample" else config.published.get(SPEARMAN)
    draw(folder, metrics, config.trainer.seed, published)


def main(arguments: list[str]) -> None:
    """Run the command line; leave with exit code 2 and one sentence for a mistake of the user."""
    with one_sentence():
        if len(arguments) != 1 or arguments[0].startswith("-"):
            raise UserError("expected python -m src.report FOLDER, the folder of a finished run: name one folder.")
        run(Path(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
