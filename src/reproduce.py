"""Train a run again from what it recorded, and say whether the curve is the same: python -m src.reproduce RUN.

A RUN is named as for `src.compare`. Nothing in the working tree or in the store is changed: the new training lives in
a temporary folder.
"""

import sys
import tempfile
from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from src import train
from src.config import Config, DataConfig, ModelConfig
from src.config.tracking import TrackingConfig
from src.config.training import LossConfig, TrainerConfig
from src.data import PairData, digest, load_pairs
from src.encoder import load_encoder
from src.entry import one_sentence
from src.errors import UserError
from src.provenance import library_versions
from src.report.console import console
from src.tracking import download_result, recorded_identity

TOLERANCE = 1e-4
"""Largest difference of a Spearman that still counts as the same curve; another thread count alone can make one."""
COLUMNS = ["spearman_cosine", "pearson_cosine", "validation_loss"]


def run(reference: str, uri: str) -> float:
    """Train the run again and return the largest difference between the two curves, over all rows and `COLUMNS`.

    Raises `UserError` where the run cannot be found, or the pairs or library versions are not those it recorded.
    """
    with tempfile.TemporaryDirectory() as scratch:
        stored = download_result(reference, uri, Path(scratch) / "stored", ("config.yaml", "curve.csv"))
        if not (stored / "curve.csv").is_file():
            raise UserError(f"{reference}: expected a finished run, found no curve.csv in it: choose another run.")
        config = restored(stored / "config.yaml", Path(scratch) / "again")
        pairs = load_pairs(config.data)
        check_same_origin(reference, recorded_identity(reference, uri), pairs)
        train.train(config, pairs, load_encoder(config.model))
        return difference(pd.read_csv(stored / "curve.csv"), pd.read_csv(Path(config.folder) / "curve.csv"))


def restored(path: Path, folder: Path) -> Config:
    """Return the configuration in a config.yaml, with result and tracking moved to `folder`."""
    settings: Any = OmegaConf.to_container(OmegaConf.load(path))
    uri = f"sqlite:///{folder}/mlflow.db"
    return Config(
        name=settings["name"],
        folder=str(folder / "result"),
        data=_of_kind(DataConfig.__args__, settings["data"]),
        model=_of_kind(ModelConfig.__args__, settings["model"]),
        loss=LossConfig(**settings["loss"]),
        trainer=TrainerConfig(**settings["trainer"]),
        tracking=TrackingConfig(uri=uri, artifacts=str(folder), models=False, register=False, system_metrics=False),
        published=settings["published"],
    )


def _of_kind(kinds: tuple[type, ...], settings: dict[str, Any]) -> Any:
    """Return the settings as the dataclass that has exactly these fields."""
    for kind in kinds:
        if {each.name for each in fields(kind)} == set(settings):
            return kind(**settings)
    raise UserError(
        f"expected the settings of one of {[kind.__name__ for kind in kinds]}, found {sorted(settings)}: the run is of"
        " another version of this project, check out the commit it names (tag git.commit)."
    )


def check_same_origin(reference: str, recorded: dict[str, str], pairs: PairData) -> None:
    """Raise `UserError` naming all that differs between what the run recorded and what is here."""
    here = {"training": digest(pairs.train), "evaluation": digest(pairs.dev), **library_versions()}
    differing = [
        f"{key} {value} there and {here[key]} here"
        for key, value in recorded.items()
        if key in here and here[key] != value
    ]
    if differing:
        raise UserError(
            f"{reference}: expected the pairs and versions it was trained with, found {'; '.join(differing)}: restore"
            " them, or train anew."
        )


def difference(stored: pd.DataFrame, again: pd.DataFrame) -> float:
    """Return the largest absolute difference of two curves in `COLUMNS`; infinite if their steps differ."""
    if stored["step"].tolist() != again["step"].tolist():
        return float("inf")
    return float((stored[COLUMNS] - again[COLUMNS]).abs().to_numpy().max())


def verdict(found: float) -> str:
    """Return in words whether the curve is the same."""
    if found == 0:
        return "The same curve, to the last digit."
    if found <= TOLERANCE:
        return f"The same curve within {TOLERANCE:g}: the largest difference is {found:.2g}."
    return f"Another curve: the largest difference is {found:.2g}, more than {TOLERANCE:g}."


def main() -> None:
    """Run the command line; exit code 1 for another curve, 2 and one sentence for a mistake of the user."""
    parser = ArgumentParser("python -m src.reproduce", description=__doc__.split("\n")[0])
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--uri", default=TrackingConfig.uri, help="MLflow store (default: %(default)s)")
    arguments = parser.parse_args()
    with one_sentence():
        found = run(arguments.run, arguments.uri)
        console.print(f"\n{verdict(found)}")
        sys.exit(0 if found <= TOLERANCE else 1)


if __name__ == "__main__":
    main()
