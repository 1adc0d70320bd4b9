"""Finalists of a sweep: the best trials and the recipe, trained again with further seeds, ranked and compared."""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from src.config.words import describe
from src.evaluation.metrics import Metric
from src.evaluation.seeds import SeedScores, difference_over_seeds, seed_scores
from src.evaluation.statistics import UNKNOWN, Estimate
from src.sweeping.space import Params
from src.sweeping.study import SweepStudy
from src.sweeping.trainings import Trainings, excluded_if_diverged
from src.tracking import PARENT
from src.utils.errors import TrainingDiverged, UserError

log = logging.getLogger(__name__)

NOT_COMPARED = Estimate(nan, *UNKNOWN)


@dataclass(frozen=True)
class Finalist:
    """One of the best trials, or that of the recipe, with the results of further seeds on what was held out."""

    number: int
    params: Params
    found: float
    """Leading metric of the trial itself: the highest of many trials, so biased upwards."""
    predictions: list[pd.DataFrame]
    """Predictions of each further seed on the held-out parts, as in `Evaluation`."""
    confirmed: Estimate
    """Mean over the further seeds, with its 95 % interval over examples and seeds; `found` if there are none."""
    recipe: bool = False
    """Whether it has the configuration's own params."""
    behind: Estimate = NOT_COMPARED
    """The winner's mean minus this one's, with its 95 % interval over the same examples and seeds."""
    gain: Estimate = NOT_COMPARED
    """Its mean minus the recipe's; NaN if that was not confirmed."""

    @property
    def tied(self) -> bool:
        """Whether the winner is not shown to be better over examples and seeds."""
        return not self.behind.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of choice.json."""
        found = {"number": self.number, "values": self.params, "recipe": self.recipe, "found": self.found}
        confirmed = {"mean": self.confirmed.value, "interval": self.confirmed.interval}
        behind = {"behind": self.behind.interval, "tied": self.tied}
        gain = {"gain_over_recipe": self.gain.value, "gain_interval": self.gain.interval}
        return {**found, **confirmed, **behind, **gain, "better_than_recipe": self.gain.low > 0}


def confirm(trainings: Trainings, parent_run: str) -> list[Finalist]:
    """Return the best trials and that of the recipe as finalists, trained again with further seeds.

    A trial that diverges with another seed is excluded, also from later starts, and replaced with the next best.
    Finished runs are not repeated.

    Raises `UserError` if no trial has finished, or all of them diverge.
    """
    study = trainings.study
    settings, finished = study.config.sweep.confirm, study.best_trials()
    if not finished:
        raise UserError(_none_finished(study))
    eligible = [trial for trial in finished if not study.exclusion(trial.number)]
    seeds = settings.seeds if min(settings.top_k, len(finished)) > 1 else 0
    recipe = next((trial.number for trial in finished if trial.params == study.recipe), None) if seeds else None
    if seeds:
        _log_confirmation([trial.number for trial in eligible], settings.top_k, recipe, seeds)
    finalists: list[Finalist] = []
    for trial in finished:
        if len(finalists) >= settings.top_k and trial.number != recipe:
            continue
        if not study.exclusion(trial.number):
            with suppress(TrainingDiverged):
                finalists.append(_train_again(trainings, trial, seeds, parent_run))
        if reason := study.exclusion(trial.number):
            log.info(f"trial {trial.number:3d}  excluded: {reason}")
    if not finalists:
        raise UserError(
            "expected a trial that does not diverge with further seeds, found that all do:"
            " search lower learning rates (sweep.space) under another name=NAME."
        )
    return finalists


def _log_confirmation(eligible: list[int], top_k: int, recipe: int | None, seeds: int) -> None:
    best = eligible[:top_k]
    added = recipe in eligible[top_k:]
    trials = f"{len(best)} trials{' and the recipe' if added else ''}"
    trainings = (len(best) + added) * seeds
    log.info(f"Confirming the best {trials} with {seeds} further seed{'s' * (seeds > 1)}: {trainings} trainings")


def _none_finished(study: SweepStudy) -> str:
    return (
        f"expected at least one finished trial, found none (the last: {study.last_reason()}): set sweep.pruner=none if"
        " they were pruned, or search lower learning rates (sweep.space) under another name=NAME if they diverged."
    )


def _train_again(trainings: Trainings, trial: FrozenTrial, seeds: int, parent_run: str) -> Finalist:
    study, number, params = trainings.study, trial.number, dict(trial.params)
    first, predictions = study.config.trainer.seed, []
    for seed in range(first + 1, first + 1 + seeds):
        folder = study.folder / "confirm" / f"{number:04d}-seed{seed}"
        tags = {"role": "confirmation", "trial.number": str(number), PARENT: parent_run}
        with excluded_if_diverged(study, number, folder):
            outcome = trainings.run(params, folder, tags, seed=seed)
        predictions.append(outcome.predictions)
        log.info(f"trial {number:3d}  confirmed with seed {seed}: {outcome.value:.4f}  {describe(params)}")
    found = trial.value or 0.0
    return Finalist(number, params, found, predictions, Estimate(found, *UNKNOWN), params == study.recipe)


def rank(finalists: list[Finalist], metric: Metric, seed: int) -> list[Finalist]:
    """Return the finalists, the winner first, ranked by the lower bound of the interval of their mean.

    Examples and seeds are resampled together (percentile bootstrap; Efron, 1979), identically for all finalists, so the
    intervals cover both the choice of the held-out part and the variance between seeds. Without further seeds the order
    is that of the trials, and the intervals are NaN.
    """
    if not all(one.predictions for one in finalists):
        return finalists
    scored = [(one, seed_scores(metric, one.predictions, seed)) for one in finalists]
    scored.sort(key=lambda entry: -entry[1].mean.low)
    recipe = next((scores for one, scores in scored if one.recipe), None)
    return [
        replace(
            one,
            confirmed=scores.mean,
            behind=_difference(scores, scored[0][1]),
            gain=one.gain if recipe is None else _difference(recipe, scores),
        )
        for one, scores in scored
    ]


def _difference(first: SeedScores, second: SeedScores) -> Estimate:
    """Return the mean of `second` minus that of `first` with its interval, which is not known of single seeds."""
    if first is second:
        return Estimate(0.0, 0.0, 0.0)
    if len(first.values) < 2:
        return Estimate(float(second.values.mean() - first.values.mean()), *UNKNOWN)
    return difference_over_seeds(first, second)[0]


def compare_with_recipe(study: SweepStudy, ranking: list[Finalist]) -> str:
    """Return in words whether the winner is better than the recipe, which only an interval above 0 shows."""
    winner = ranking[0]
    confirmed = "" if winner.predictions else ", not confirmed with further seeds"
    if winner.recipe:
        return f"the recipe itself{confirmed}"
    if confirmed:
        return "not confirmed with further seeds: no gain over the recipe shown"
    if not any(one.recipe for one in ranking):
        reason = "lie outside sweep.space" if study.recipe is None else "have no trial that has finished with all seeds"
        return f"no comparison with the recipe, whose own values {reason}"
    if winner.gain.low > 0:
        return f"better than the recipe by {winner.gain}"
    return f"no gain over the recipe shown: {winner.gain}"
