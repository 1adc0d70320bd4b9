"""Report of a sweep: table of trials, importances, ranking, plots, and the winner's params."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import optuna
import pandas as pd
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from src.evaluation.metrics import Metric
from src.report.figures import save_figure, use_korean_font
from src.sweeping.finalists import Finalist, compare_with_recipe
from src.sweeping.study import REASON, STATES, SweepStudy
from src.sweeping.view import format_ties, last_evaluation, training_command
from src.tracking import Run
from src.utils.files import write_text

matplotlib.use("agg")
from optuna.visualization import matplotlib as plots

IMPORTANCES = {
    "ped_anova": lambda: PedAnovaImportanceEvaluator(evaluate_on_local=False),
    "fanova": lambda: FanovaImportanceEvaluator(seed=0),
}
PLOTS: dict[str, Callable[[optuna.Study], Any]] = {
    "history": plots.plot_optimization_history,
    "parallel_coordinate": plots.plot_parallel_coordinate,
    "slice": plots.plot_slice,
    "curves": plots.plot_intermediate_values,
}


def trial_table(study: SweepStudy, metric: Metric) -> pd.DataFrame:
    """Return a row for each trial that was started, with its params, its cost and the reason for an early end."""
    rows = [
        {
            "trial": trial.number,
            "state": STATES.get(trial.state, trial.state.name.lower()),
            metric.name: trial.value if trial.state == TrialState.COMPLETE else math.nan,
            "last_evaluation": last_evaluation(trial),
            "progress": _progress(trial),
            "steps": round(trial.user_attrs.get("steps", 0) * _progress(trial) / 100),
            "seconds": trial.user_attrs.get("seconds", math.nan),
            **trial.params,
            REASON: trial.user_attrs.get(REASON, ""),
        }
        for trial in study.trials()
        if trial.params
    ]
    return pd.DataFrame(rows)


def _progress(trial: FrozenTrial) -> int:
    """Return the progress of a trial in per cent."""
    return 100 if trial.state == TrialState.COMPLETE else max(trial.intermediate_values, default=0)


def importances(study: optuna.Study) -> pd.DataFrame:
    """Return the importance of each key, its share in the variance, by two evaluators that may disagree."""
    columns = {}
    for name, build in IMPORTANCES.items():
        try:
            columns[name] = pd.Series(get_param_importances(study, evaluator=build()), dtype=float)
        except (ValueError, RuntimeError):  # fewer than two completed trials, or all values equal
            columns[name] = pd.Series(dtype=float)
    return pd.DataFrame(columns).rename_axis("key")


def save_best(study: SweepStudy, ranking: list[Finalist], metric: Metric) -> Path:
    """Write the winner's params as a configuration that `src.train` accepts as +tuned=NAME; return its path."""
    path, winner, folds = study.folder / "best.yaml", ranking[0], study.config.sweep.folds
    params = OmegaConf.create({})
    for key, value in winner.params.items():
        OmegaConf.update(params, key, value)
    head = (
        f"# @package _global_\n# {training_command(study, winner.params)}\n"
        f"# Trial {winner.number}, the best of {study.done}: {metric.label} {winner.confirmed} on"
        f" {f'{folds} folds' if folds else 'the validation part'} of train; {compare_with_recipe(study, ranking)}.\n"
    )
    write_text(path, head + OmegaConf.to_yaml(params))
    return path


def save_report(study: SweepStudy, ranking: list[Finalist], metric: Metric) -> Path:
    """Write trials.csv, importances.csv, choice.json and the plots; return their folder."""
    folder, optuna_study = study.folder / "report", study.optuna_study()
    use_korean_font()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shares = importances(optuna_study)
        figures = {name: _figure(plot(optuna_study)) for name, plot in PLOTS.items()}
    write_text(folder / "trials.csv", trial_table(study, metric).to_csv(index=False))
    write_text(folder / "importances.csv", shares.to_csv())
    choice = pd.DataFrame([one.to_dict() for one in ranking])
    write_text(folder / "choice.json", choice.to_json(orient="records", indent=2, double_precision=15))  # NaN as null
    if not shares.dropna().empty:
        figures["importances"] = _figure(shares.plot.barh(title=f"Share of each key in the variance of {metric.label}"))
    for name, figure in figures.items():
        save_figure(figure, folder / "plots" / f"{name}.png", dpi=120, bbox_inches="tight")
        matplotlib.pyplot.close(figure)
    return folder


def _figure(axes: Any) -> Figure:
    first = axes.flat[0] if hasattr(axes, "flat") else axes
    return first.figure  # type: ignore[no-any-return]


def log_report(parent: Run, study: SweepStudy, ranking: list[Finalist], folder: Path, best: Path) -> None:
    """Record the report in the parent run, with the winner's scores and params."""
    winner, states = ranking[0], [trial.state for trial in study.trials() if trial.params]  # without cancelled ones
    parent.log_folder(folder)
    parent.log_files(best.parent, [best.name])
    counts = {f"trials.{name}": float(states.count(state)) for state, name in STATES.items()}
    values = {"best_value": winner.found, "confirmed_value": winner.confirmed.value, **counts}
    values |= winner.gain.to_dict("gain_over_recipe")
    parent.log_metrics(values, study.done)
    parent.set_tags({f"best.{key}": str(value) for key, value in winner.params.items()})
    compared = {"best.tied_with": format_ties(ranking) or "none", "best.recipe": compare_with_recipe(study, ranking)}
    parent.set_tags({"best.trial": str(winner.number), **compared})
