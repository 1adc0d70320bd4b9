"""What a sweep leaves: plots, a table of its trials, the winner's settings, and all of it on the parent run."""

import json
import math
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
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from src.files import replacing
from src.report.console import print_table
from src.sweeping.selection import Standing
from src.sweeping.study import SweepStudy
from src.sweeping.view import WORDS, in_words
from src.tracking import Run

matplotlib.use("agg")
from optuna.visualization import matplotlib as plots

PLOTS: dict[str, Callable[[optuna.Study], Any]] = {
    "history": plots.plot_optimization_history,
    "parallel_coordinate": plots.plot_parallel_coordinate,
    "slice": plots.plot_slice,
    "curves": plots.plot_intermediate_values,
}
IMPORTANCES = {
    "ped_anova": lambda: PedAnovaImportanceEvaluator(evaluate_on_local=False),
    "fanova": lambda: FanovaImportanceEvaluator(seed=0),
}


def write_best(study: SweepStudy, winner: Standing) -> Path:
    """Write the winner's values as a configuration that `src.train` takes as +tuned=NAME; return its path."""
    path = study.folder / "best.yaml"
    values = OmegaConf.create({})
    for key, value in winner.values.items():
        OmegaConf.update(values, key, value)
    head = (
        f"# @package _global_\n# python -m src.train +experiment={study.name} +tuned={study.name}\n"
        f"# Trial {winner.number} of {study.done}: Spearman {winner.mean:.4f} on the validation part of train.\n"
    )
    with replacing(path) as draft:
        draft.write_text(head + OmegaConf.to_yaml(values), encoding="utf-8")
    return path


def table_of(study: SweepStudy) -> pd.DataFrame:
    """Return a row for each trial that was run: number, state, Spearman, progress in per cent, steps and seconds,
    values, and why it ended early.
    """
    rows = [
        {
            "trial": trial.number,
            "state": WORDS.get(trial.state, trial.state.name.lower()),
            "spearman_cosine": trial.value if trial.state == TrialState.COMPLETE else math.nan,
            "best_evaluation": max(trial.intermediate_values.values(), default=math.nan),
            "progress": _progress(trial),
            "steps": round(trial.user_attrs.get("steps", 0) * _progress(trial) / 100),
            "seconds": trial.user_attrs.get("seconds", math.nan),
            **trial.params,
            "reason": trial.user_attrs.get("reason", ""),
        }
        for trial in study.trials()
        if trial.params
    ]
    return pd.DataFrame(rows)


def _progress(trial: FrozenTrial) -> int:
    return 100 if trial.state == TrialState.COMPLETE else max(trial.intermediate_values, default=0)


def importances(study: optuna.Study) -> pd.DataFrame:
    """Return the share of each key in the spread of the values, by two measures, which can disagree."""
    columns = {}
    for name, build in IMPORTANCES.items():
        try:
            columns[name] = pd.Series(get_param_importances(study, evaluator=build()), dtype=float)
        except (ValueError, RuntimeError):  # fewer than two finished trials, or all with the same value
            columns[name] = pd.Series(dtype=float)
    return pd.DataFrame(columns).rename_axis("key")


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
        told = [{**asdict(one), "tied": one.tied} for one in standings]
        draft.write_text(json.dumps(told, indent=2, default=str), encoding="utf-8")
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
    parent.client.log_artifact(parent.run_id, str(best))
    states = [trial.state for trial in study.trials()]
    counts = {f"trials.{word}": float(states.count(state)) for state, word in WORDS.items()}
    parent.log_metrics({"best_value": winner.found, "confirmed_value": winner.mean, **counts}, study.done)
    parent.set_tags({f"best.{key}": str(value) for key, value in winner.values.items()})
    parent.set_tags({"best.trial": str(winner.number), "best.tied_with": ties(standings) or "none"})


def ties(standings: list[Standing]) -> str:
    """Return the trials that cannot be told from the winner, each with the interval of the difference."""
    return "; ".join(
        f"trial {one.number} ({in_words(one.values)}), behind by {_span(one.behind)}"
        for one in standings[1:]
        if one.tied
    )


def _span(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.4f}, {interval[1]:.4f}]"


def print_choice(study: SweepStudy, standings: list[Standing], best: Path) -> None:
    """Print the winner, what it is worth and how to train with it."""
    winner = standings[0]
    seeds = study.config.sweep.confirm.seeds
    confirmed = not math.isnan(winner.interval.low)
    rows = {
        "winner": f"trial {winner.number}: {in_words(winner.values)}",
        "validation": f"{winner.found:.4f}, not confirmed with further seeds",
    }
    if confirmed:
        rows["validation"] = (
            f"{winner.mean:.4f} {_span(winner.interval)}, mean of {seeds} further seeds; found as {winner.found:.4f}"
        )
        rows["tied with"] = ties(standings) or "none"
        behind = [f"trial {one.number} by {_span(one.behind)}" for one in standings[1:] if not one.tied]
        rows["ahead of"] = "; ".join(behind) or "none"
    rows |= {
        "settings": str(best),
        "train with it": f"python -m src.train +experiment={study.name} +tuned={study.name}",
    }
    print_table(f"{study.name}: {study.done} trials", rows)
