"""What the trials of a sweep did, and what their values were worth, as tables."""

import math

import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from src.metrics.names import SPEARMAN
from src.sweeping.study import SweepStudy
from src.sweeping.view import WORDS

IMPORTANCES = {
    "ped_anova": lambda: PedAnovaImportanceEvaluator(evaluate_on_local=False),
    "fanova": lambda: FanovaImportanceEvaluator(seed=0),
}


def table_of(study: SweepStudy) -> pd.DataFrame:
    """Return a row for each trial that was run: number, state, Spearman, progress in per cent, steps and seconds,
    values, and why it ended early.
    """
    rows = [
        {
            "trial": trial.number,
            "state": WORDS.get(trial.state, trial.state.name.lower()),
            SPEARMAN: trial.value if trial.state == TrialState.COMPLETE else math.nan,
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
