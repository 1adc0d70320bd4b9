"""The runs to be compared: finding them and reading their results."""

import json
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from src.errors import UserError
from src.provenance import PLACES, without
from src.tracking import download_result

PAIR = ["sentence1", "sentence2", "gold"]
"""What identifies an evaluation pair in predictions.parquet."""
RESULT_FILES = ("metrics.json", "config.yaml", "curve.csv", "predictions.parquet")
EXPERIMENTS = Path("experiments")


@dataclass(frozen=True)
class Candidate:
    """One run with its result."""

    letter: str
    """Short name in tables and verdicts: A, B, C, …"""
    reference: str
    """What the user called it."""
    metrics: dict[str, Any]
    """Content of metrics.json."""
    parameters: dict[str, str]
    """Its configuration under dotted names, without `PLACES`."""
    curve: pd.DataFrame
    predictions: pd.DataFrame
    """`PAIR` and predicted, sorted by `PAIR`."""


def read_candidates(references: list[str], uri: str, scratch: Path) -> list[Candidate]:
    """Return the runs in the order given; those that lie in the store `uri` only are copied into `scratch`.

    Raises `UserError` where one cannot be found or read, or where their evaluation pairs differ.
    """
    letters = dict(zip(ascii_uppercase, references, strict=False))
    folders = {letter: find_result(name, uri, scratch / letter) for letter, name in letters.items()}
    candidates = [read_candidate(letter, letters[letter], folder) for letter, folder in folders.items()]
    for other in candidates[1:]:
        check_same_pairs(candidates[0], other)
    return candidates


def find_result(reference: str, uri: str, scratch: Path) -> Path:
    """Return the folder with the result that `reference` means: a folder, a name below experiments/, or a run."""
    for folder in (Path(reference), EXPERIMENTS / reference):
        if folder.is_dir() and not reference.startswith("models:"):
            return folder
    return download_result(reference, uri, scratch, RESULT_FILES)


def read_candidate(letter: str, reference: str, folder: Path) -> Candidate:
    """Return the result in `folder`; raise `UserError` naming the file that is missing or broken."""
    missing = [name for name in RESULT_FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{reference}: expected a finished run, found no {missing[0]} in {folder}: train it first.")
    try:
        predictions = pd.read_parquet(folder / "predictions.parquet")[[*PAIR, "predicted"]]
        return Candidate(
            letter,
            reference,
            json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
            _parameters(folder / "config.yaml"),
            pd.read_csv(folder / "curve.csv"),
            predictions.sort_values(PAIR, kind="stable", ignore_index=True),
        )
    except (ValueError, KeyError, OSError) as error:
        raise UserError(f"{reference}: expected a whole result in {folder}, found {error}: train it again.") from error


def _parameters(path: Path) -> dict[str, str]:
    settings: Any = OmegaConf.to_container(OmegaConf.load(path))
    return without(settings, PLACES)


def check_same_pairs(first: Candidate, other: Candidate) -> None:
    """Raise `UserError` unless both were evaluated on the same pairs with the same scores, in whatever order."""
    if first.predictions[PAIR].equals(other.predictions[PAIR]):
        return
    shared = len(first.predictions[PAIR].merge(other.predictions[PAIR]).drop_duplicates())
    raise UserError(
        f"expected runs evaluated on the same pairs, found {_evaluated(first)} and {_evaluated(other)}, {shared:,} of"
        " them in common: compare runs of the same data, or train one again on the other's."
    )


def _evaluated(candidate: Candidate) -> str:
    metrics = candidate.metrics
    return (
        f"{candidate.reference} on {len(candidate.predictions):,} ({metrics['data_source']}, {metrics['evaluated_on']})"
    )
