"""Train a recorded run again and compare the two curves."""

import tempfile
from pathlib import Path

import pandas as pd

from src.config import Config
from src.config.recorded import check_base, recorded_config
from src.config.tracking import SQLITE, TrackingConfig
from src.data import ExampleSet, digest, load_examples
from src.evaluation.metrics import TRAINING_LOSS
from src.evaluation.result import RESULT_FILE, Result, read_curve
from src.pipeline.seeds import run_experiment
from src.tracking import MERGE, download_result, recorded_provenance
from src.utils.environment import library_versions
from src.utils.errors import UserError

NOT_COMPARED = ["epoch", "step", TRAINING_LOSS]
"""Columns of a curve besides validation loss and metrics; after a resume the training loss covers fewer steps."""


def reproduce(reference: str, uri: str) -> float:
    """Train a run again in a temporary folder and return the largest difference between both curves.

    Of several seeds whose weights are averaged, all are trained again, and the curves are their means.

    The working tree and the MLflow store are left unchanged.

    Raises `UserError` if the run cannot be found, or the examples or library versions differ from the recorded ones.
    """
    if (Path(reference) / RESULT_FILE).is_file():
        reference = Result.load(Path(reference)).run_id
    with tempfile.TemporaryDirectory() as scratch:
        stored = download_result(reference, uri, Path(scratch) / "stored", ("config.yaml", "curve.csv", RESULT_FILE))
        if not (stored / "curve.csv").is_file():
            raise UserError(f"{reference}: expected a finished run, found no curve.csv in it: choose another run.")
        provenance = recorded_provenance(reference, uri)
        if provenance.get("role") == MERGE:
            raise UserError(
                f"{reference}: expected a training, found merged weights: reproduce the runs that they come from, and"
                " merge again."
            )
        config = restore_config(stored / "config.yaml", Path(scratch) / "again")
        check_base(config, reference)
        examples = load_examples(config.data)
        check_provenance(reference, provenance, examples)
        result = run_experiment(config, examples)
        curves = (read_curve(each, result.metric.name) for each in (stored, Path(config.folder)))
        return max(curve_difference(*curves), score_difference(Result.load(stored), result))


def restore_config(path: Path, folder: Path) -> Config:
    """Return the configuration in a config.yaml, with result and tracking moved to `folder`.

    Raises `UserError` if the settings are not those of a run of this version.
    """
    uri = f"{SQLITE}{folder}/mlflow.db"
    tracking = TrackingConfig(uri=uri, artifacts=str(folder), models=False, register=False, system_metrics=False)
    return recorded_config(path, folder / "result", tracking)


def check_provenance(reference: str, recorded: dict[str, str], examples: ExampleSet) -> None:
    """Raise `UserError` naming what differs between a recorded run and this machine: examples, library versions."""
    here = library_versions()
    for name, each in examples.sets.items():
        suffix = examples.suffix(name)
        here |= {f"training{suffix}": digest(each.train), f"evaluation{suffix}": digest(each.dev)}
        here |= {f"test{suffix}": digest(each.test)} if each.test is not None else {}
    differing = [
        f"{key} {value} there and {here[key]} here"
        for key, value in recorded.items()
        if key in here and here[key] != value
    ]
    if differing:
        raise UserError(
            f"{reference}: expected the examples and versions it was trained with, found {'; '.join(differing)}:"
            " restore them, or start a new training."
        )


def score_difference(stored: Result, again: Result) -> float:
    """Return the largest absolute difference of the reported metrics, those of an average of seeds are in no curve."""
    return max(abs(again.scores[name].value - score.value) for name, score in stored.scores.items())


def curve_difference(stored: pd.DataFrame, again: pd.DataFrame) -> float:
    """Return the largest absolute difference of validation loss and metrics between two curves.

    It is infinite if steps or metrics differ. A curve stored by an old version has no step 0: they are compared from
    its first row on.
    """
    again = again[again["step"] >= stored["step"].min()].reset_index(drop=True)
    names = [name for name in stored.columns if name not in NOT_COMPARED]
    if stored["step"].tolist() != again["step"].tolist() or not set(names) <= set(again.columns):
        return float("inf")
    return float((stored[names] - again[names]).abs().to_numpy().max())
