"""Console messages of a sweep: search space, a line for each trial with the remaining time, and the winner."""

import logging
import math
import re
import shlex
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from optuna.trial import FrozenTrial

from src.config.words import describe
from src.data import ExampleSet
from src.sweeping.finalists import Finalist, compare_with_recipe
from src.sweeping.space import Param, Params, training_config, values
from src.sweeping.study import STATES, SweepStudy
from src.utils.console import log_table, relative_to_cwd

log = logging.getLogger(__name__)

RUN_NAME = "tracking.run_name"
PLAIN = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
"""Names that Hydra reads as a text without quotation marks, but for `WORDS`."""
WORDS = ("null", "true", "false", "nan", "inf")


class TrialView:
    """Log of the trials of this process as they end."""

    def __init__(self, study: SweepStudy) -> None:
        self.study = study
        self.seconds: list[float] = []

    def log_trial(self, number: int, params: Params, seconds: float) -> None:
        """Log the outcome of a trial, the best one so far and the remaining time."""
        self.seconds.append(seconds)
        trials, done, sweep = self.study.trials(), self.study.done, self.study.config.sweep
        trial, best = trials[number], next(iter(self.study.best_trials()), None)
        remaining = (sweep.trials - done) * sum(self.seconds) / len(self.seconds) / sweep.workers
        left = f", {format_duration(remaining)} left" if done < sweep.trials else ""
        log.info(
            f"trial {number:3d}  {STATES.get(trial.state, 'interrupted'):8} {_format_value(trial):>7}"
            f"  best {_format_value(best) if best else '–':>7} {f'(trial {best.number})' if best else '':11}"
            f"  {done}/{sweep.trials} done{left}  {describe(params)}"
        )


def last_evaluation(trial: FrozenTrial) -> float:
    """Return the value that a trial has reported last, NaN if it has reported none."""
    values = trial.intermediate_values
    return values[max(values)] if values else math.nan


def _format_value(trial: FrozenTrial) -> str:
    value = last_evaluation(trial) if trial.value is None else trial.value
    return "–" if math.isnan(value) else f"{value:.4f}"


def format_duration(seconds: float) -> str:
    """Return a duration in hours, minutes or seconds: the largest unit that gives at least 1.5."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def log_search(study: SweepStudy, parts: list[ExampleSet]) -> None:
    """Log the searched keys, the numbers of examples of the trials, warnings about them, the progress and the cost."""
    keys = ", ".join(key.rpartition(".")[2] for key in study.space)
    first, noun, folds = parts[0], parts[0].shape.noun, len(parts)
    held_out = f"{len(first.train):,} {noun} to train on, {len(first.dev):,} held out for validation"
    if folds > 1:
        held_out = f"{sum(len(part.dev) for part in parts):,} {noun} in {folds} folds, each held out once"
    log.info(f"Search: {keys}; {held_out}; {study.done} of {study.config.sweep.trials} trials done")
    for remark in first.warnings:
        log.warning(f"  note: {remark}")
    log.info(f"Cost: {describe_cost(study, folds)}")


def describe_cost(study: SweepStudy, folds: int) -> str:
    """Return the number of trainings and epochs, if epochs limit them, that a sweep takes at most."""
    sweep, trainer = study.config.sweep, training_config(study.config).trainer
    each = f" × {folds} folds" if folds > 1 else ""
    finalists = min(sweep.confirm.top_k, sweep.trials)
    recipe = study.recipe is not None and finalists < sweep.trials
    seeds = sweep.confirm.seeds if finalists > 1 else 0
    trainings = folds * (sweep.trials + (finalists + recipe) * seeds) + 1
    parts = [f"{sweep.trials} trials{each}"]
    if seeds:
        parts.append(
            f"{finalists} finalists{' and the recipe' if recipe else ''} × {seeds} seed{'s' * (seeds > 1)}{each}"
        )
    epochs = values(study.space["trainer.epochs"]) if "trainer.epochs" in study.space else [trainer.epochs]
    counted = trainer.max_steps < 0 and "trainer.max_steps" not in study.space
    most = f" of up to {max(epochs):g} epochs" if counted else ""  # type: ignore[type-var]
    return f"at most {', and '.join(parts)}, and the winner: {trainings} trainings{most}"


def format_ties(ranking: list[Finalist]) -> str:
    """Return the trials that are tied with the winner, each with the interval of the difference."""
    return "; ".join(
        f"trial {one.number} ({describe(one.params)}), behind by {one.behind}" for one in ranking[1:] if one.tied
    )


def training_command(study: SweepStudy, params: Params) -> str:
    """Return the shell command that trains with the winner's params and this sweep's overrides of other keys.

    They are named as +tuned=NAME, which finds the best.yaml in experiments/NAME, or one by one for another folder.
    """
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    keys = {one: one.lstrip("+~").partition("=")[0] for one in overrides}
    kept = [one for one, key in keys.items() if not key.startswith("sweep.") and key not in (*study.space, RUN_NAME)]
    folder = study.folder.parent
    is_found = folder.resolve().parent == Path("experiments").resolve()
    chosen = {"+tuned": folder.name} if is_found else params
    return shlex.join(["python", "-m", "src.train", *kept, *(f"{key}={_quoted(chosen[key])}" for key in chosen)])


def _quoted(value: Param) -> str:
    """Return a value as Hydra reads it; a text that looks like another value, such as 1.10, needs quotation marks."""
    if isinstance(value, str) and (value.lower() in WORDS or not PLAIN.fullmatch(value)):
        return f'"{value}"'
    return "null" if value is None else str(value)


def log_winner(study: SweepStudy, ranking: list[Finalist], best: Path) -> None:
    """Log the winner, its scores and the command that trains with its params; `best`: file with these params."""
    winner, seeds = ranking[0], study.config.sweep.confirm.seeds
    rows = {
        "winner": f"trial {winner.number}: {describe(winner.params)}",
        "validation": f"{winner.found:.4f}, not confirmed with further seeds",
        "recipe": compare_with_recipe(study, ranking),
    }
    if not math.isnan(winner.confirmed.low):
        rows["validation"] = (
            f"{winner.confirmed}, mean of {seeds} further seed{'s' * (seeds > 1)}; found as {winner.found:.4f}"
        )
        rows["tied with"] = format_ties(ranking) or "none"
        behind = [f"trial {one.number} by {one.behind}" for one in ranking[1:] if not one.tied]
        rows["ahead of"] = "; ".join(behind) or "none"
    rows["settings"] = str(relative_to_cwd(best))
    log_table(f"{study.name}: {study.done} trials", rows)
    log.info(f"train with it: {training_command(study, winner.params)}")  # not in the table, which would break the line
