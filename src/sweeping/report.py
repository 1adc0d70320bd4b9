"""What a sweep leaves: plots, a table of its trials, the winner's settings, and all of it on the parent run."""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
import optuna
import pandas as pd
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from src.files import replacing
from src.sweeping.selection import Standing
from src.sweeping.study import SweepStudy
from src.sweeping.tables import importances, table_of
from src.sweeping.view import WORDS, ties, training_command
from src.tracking import Run

matplotlib.use("agg")
from optuna.visualization import matplotlib as plots

PLOTS: dict[str, Callable[[optuna.Study], Any]] = {
    "history": plots.plot_optimization_history,
    "parallel_coordinate": plots.plot_parallel_coordinate,
    "slice": plots.plot_slice,
    "curves": plots.plot_intermediate_values,
}


def write_best(study: SweepStudy, winner: Standing) -> Path:
    """Write the winner's values as a configuration that `src.train` takes as +tuned=NAME; return its path."""
    path = study.folder / "best.yaml"
    values = OmegaConf.create({})
    for key, value in winner.values.items():
        OmegaConf.update(values, key, value)
    head = (
        f"# @package _global_\n# {training_command(study)}\n"
        f"# Trial {winner.number} of {study.done}: Spearman {winner.mean:.4f} on the validation part of train.\n"
    )
    with replacing(path) as draft:
        draft.write_text(head + OmegaConf.to_yaml(values), encoding="utf-8")
    return path


def write_report(study: SweepStudy, standings: list[Standing]) -> Path:
    """Write trials.csv, importances.csv, choice.json and the plots into the folder returned."""
    folder, loaded = study.folder / "report", study.load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shares = importances(loaded)
    with replacing(folder / "trials.csv") as draft:
        table_of(study).to_csv(draft, index=False)
    with replacing(folder / "importances.csv") as draft:
        shares.to_csv(draft)
    with replacing(folder / "choice.json") as draft:
        told = pd.DataFrame([{**asdict(one), "tied": one.tied} for one in standings])
        told.to_json(draft, orient="records", indent=2, double_precision=15)  # what is not known as null, not as NaN
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, plot in PLOTS.items():
            _save(_figure(plot(loaded)), folder / "plots" / f"{name}.png")
    if not shares.dropna().empty:
        axes = shares.plot.barh(title="Share of each key in the spread of Spearman")
        _save(_figure(axes), folder / "plots" / "importances.png")
    return folder


def _figure(axes: Any) -> Figure:
    first = axes.flat[0] if hasattr(axes, "flat") else axes
    return first.figure  # type: ignore[no-any-return]


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as draft:
        figure.savefig(draft, format="png", dpi=120, bbox_inches="tight")
    matplotlib.pyplot.close(figure)


def log_report(parent: Run, study: SweepStudy, standings: list[Standing], folder: Path, best: Path) -> None:
    """Record the report on the parent run, with the best value and its values."""
    winner = standings[0]
    parent.log_folder(folder)
    parent.log_files(best.parent, [best.name])
    states = [trial.state for trial in study.trials()]
    counts = {f"trials.{word}": float(states.count(state)) for state, word in WORDS.items()}
    parent.log_metrics({"best_value": winner.found, "confirmed_value": winner.mean, **counts}, study.done)
    parent.set_tags({f"best.{key}": str(value) for key, value in winner.values.items()})
    parent.set_tags({"best.trial": str(winner.number), "best.tied_with": ties(standings) or "none"})
