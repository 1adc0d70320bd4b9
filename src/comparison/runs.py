"""Finished runs for a comparison, read from their folders or from copies of the MLflow store's files."""

import os
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import pandas as pd

from src.config.files import read_settings
from src.config.schema import LOCATIONS, settings_without
from src.config.tracking import is_missing, redact
from src.evaluation.metrics import as_labels
from src.evaluation.result import RUN_FILES, Result, missing_file
from src.utils.errors import UserError, shorten

PAIR = ["sentence1", "sentence2", "gold"]
"""Columns of predictions.parquet that identify an evaluation pair."""
EXPERIMENTS = Path("experiments")


@dataclass(frozen=True)
class ComparedRun:
    """One run with its result."""

    letter: str
    """Short name in tables and verdicts: A, B, C, …"""
    reference: str
    """The run as named on the command line."""
    result: Result
    parameters: dict[str, str]
    """Its configuration under dotted names, without `LOCATIONS`."""
    curve: pd.DataFrame
    predictions: pd.DataFrame
    """Columns `PAIR` and predicted, sorted by `PAIR`."""


def read_runs(references: list[str], uri: str, scratch: Path) -> list[ComparedRun]:
    """Return the runs in the order given; runs that are only in the store `uri` are copied into `scratch`.

    Raises `UserError` if a run cannot be found or read, or the evaluation pairs of two runs differ.
    """
    named = list(zip(ascii_uppercase, references, strict=False))
    folders = [find_folder(reference, uri, scratch / letter) for letter, reference in named]
    runs = [read_run(*name, folder) for name, folder in zip(named, folders, strict=True)]
    for other in runs[1:]:
        check_same_pairs(runs[0], other)
    return runs


def find_folder(reference: str, uri: str, scratch: Path) -> Path:
    """Return the folder of a run: the one named, one below experiments/, or a copy from the store in `scratch`."""
    for folder in (Path(reference), EXPERIMENTS / reference):
        # Path.is_dir raises for a name that is too long for a file
        if os.path.isdir(folder) and not reference.startswith("models:"):  # noqa: PTH112
            return folder
    if is_missing(uri):
        raise UserError(
            f"{reference}: expected an experiment folder, or a run, an experiment or a models:/ address in"
            f" {redact(uri)}, found neither folder nor store: check the name and --uri."
        )
    from src.tracking import download_result  # imports MLflow, which takes seconds: only for a run of the store

    return download_result(reference, uri, scratch, RUN_FILES)


def read_run(letter: str, reference: str, folder: Path) -> ComparedRun:
    """Return the run in `folder`; raise `UserError` naming the file that is missing or damaged."""
    if missing := missing_file(folder):
        raise UserError(f"{reference}: expected a finished run, found no {missing} in {folder}: train it first.")
    result = Result.load(folder)
    try:
        parameters = settings_without(read_settings(folder / "config.yaml"), LOCATIONS)
        predictions = pd.read_parquet(folder / "predictions.parquet")[[*PAIR, "predicted"]]
        # rounded as for the metrics; earlier versions stored the scores in that precision
        predictions["gold"] = as_labels(predictions["gold"].to_numpy())
        predictions = predictions.sort_values(PAIR, kind="stable", ignore_index=True)
        return ComparedRun(letter, reference, result, parameters, pd.read_csv(folder / "curve.csv"), predictions)
    except (ValueError, KeyError, OSError) as error:
        raise UserError(
            f"{reference}: expected a complete result in {folder}, found {shorten(error)}: train it again."
        ) from error


def check_same_pairs(first: ComparedRun, other: ComparedRun) -> None:
    """Raise `UserError` unless both were evaluated on the same pairs with the same gold scores, in any order."""
    if first.predictions[PAIR].equals(other.predictions[PAIR]):
        return
    shared = len(first.predictions[PAIR].merge(other.predictions[PAIR]).drop_duplicates())
    raise UserError(
        f"expected runs evaluated on the same pairs, found {_evaluated(first)} and {_evaluated(other)}, {shared:,} of"
        " them in common: compare runs on the same data, or train one again on the data of the other."
    )


def _evaluated(run: ComparedRun) -> str:
    result = run.result
    return f"{run.reference} on {len(run.predictions):,} ({result.data_source}, {result.evaluated_on})"
