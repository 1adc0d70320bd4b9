"""Choice of the winner: confirm the best trials with further seeds, rank them, train the first on all of train."""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial

from src.config import Config
from src.config.words import describe
from src.data import ExampleSet
from src.evaluation.bootstrap import percentile_interval
from src.evaluation.metrics import Metric
from src.evaluation.result import Result
from src.evaluation.seeds import seed_scores
from src.evaluation.statistics import UNKNOWN, Estimate, Interval
from src.sweeping.space import Params, training_config, with_params
from src.sweeping.study import SweepStudy
from src.sweeping.trainings import Trainings, excluded_if_diverged, set_sizes, trial_name
from src.tracking import PARENT, Run, known_run, start_run
from src.training.fine_tune import save_interval, total_steps
from src.utils.errors import TrainingDiverged, UserError, shorten
from src.utils.files import remove

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finalist:
    """One of the best trials, with the results of further seeds on the validation part."""

    number: int
    params: Params
    found: float
    """Leading metric of the trial itself: the maximum of many, so biased upwards."""
    scores: list[float]
    """Leading metric of each further seed."""
    predictions: list[pd.DataFrame]
    """Predictions of each further seed on the validation part, as in `Evaluation`."""
    confirmed: Estimate
    """Mean of `scores`, with its 95 % interval over examples and seeds; `found` if there are none."""
    behind: Interval = UNKNOWN
    """95 % interval of the winner's mean minus this trial's, over the same examples and seeds; 0 for the winner."""

    @property
    def tied(self) -> bool:
        """Whether the difference from the winner is not significant over pairs and seeds."""
        return self.behind.low <= 0

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of choice.json."""
        confirmed = {"mean": self.confirmed.value, "interval": self.confirmed.interval}
        found = {"number": self.number, "values": self.params, "found": self.found}
        return {**found, **confirmed, "behind": self.behind, "tied": self.tied}


def confirm(trainings: Trainings, parent_run: str) -> list[Finalist]:
    """Return the best trials as finalists, trained again with further seeds; finished runs are not repeated.

    A trial that diverges with another seed is excluded, also from later starts, and replaced with the next best.

    Raises `UserError` if no trial has finished, or all of them diverge.
    """
    study = trainings.study
    settings, finished = study.config.sweep.confirm, study.best_trials()
    if not finished:
        raise UserError(_none_finished(study))
    seeds = settings.seeds if min(settings.top_k, len(finished)) > 1 else 0
    finalists: list[Finalist] = []
    for trial in finished:
        if len(finalists) == settings.top_k:
            break
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


def _none_finished(study: SweepStudy) -> str:
    reasons = [shorten(trial.user_attrs["reason"]) for trial in study.trials() if "reason" in trial.user_attrs]
    return (
        f"expected at least one finished trial, found none (the last: {reasons[-1]}): set sweep.pruner=none if they"
        " were pruned, or search lower learning rates (sweep.space) under another name=NAME if they diverged."
    )


def _train_again(trainings: Trainings, trial: FrozenTrial, seeds: int, parent_run: str) -> Finalist:
    study, number, params = trainings.study, trial.number, dict(trial.params)
    scores, predictions = [], []
    first = study.config.trainer.seed
    for seed in range(first + 1, first + 1 + seeds):
        folder = study.folder / "confirm" / f"{number:04d}-seed{seed}"
        tags = {"role": "confirmation", "trial.number": str(number), PARENT: parent_run}
        with excluded_if_diverged(study, number, folder):
            # keep the last step, as for the winner, which has no validation part to select a checkpoint with
            result = trainings.run(params, folder, tags, seed=seed, keep="last")
        remove(folder / "model")  # only its predictions are used
        predictions.append(pd.read_parquet(folder / "predictions.parquet"))
        scores.append(result.leading.value)
        log.info(f"trial {number:3d}  confirmed with seed {seed}: {scores[-1]:.4f}  {describe(params)}")
    found = trial.value or 0.0
    return Finalist(number, params, found, scores, predictions, Estimate(found, *UNKNOWN))


def rank(finalists: list[Finalist], metric: Metric, seed: int) -> list[Finalist]:
    """Return the finalists, the winner first, ranked by the lower bound of the interval of their mean.

    Examples and seeds are resampled together (percentile bootstrap; Efron, 1979), identically for all finalists, so the
    intervals cover both the choice of the validation part and the variance between seeds. Without further seeds the
    order is that of the trials, and the intervals are NaN.
    """
    if not all(one.scores for one in finalists):
        return finalists
    means = [seed_scores(metric, one.predictions, seed).resamples.means for one in finalists]
    intervals = [percentile_interval(mean) for mean in means]
    ranked = sorted(zip(finalists, means, intervals, strict=True), key=lambda entry: -entry[2].low)
    best = ranked[0][1]
    return [
        replace(
            one,
            confirmed=Estimate(float(np.mean(one.scores)), *interval),
            behind=percentile_interval(best - mean),
        )
        for one, mean, interval in ranked
    ]


def train_winner(winner: Finalist, trainings: Trainings, pairs: ExampleSet, parent: Run) -> Result:
    """Train with the winner's params on all of train; return the result, scored on test if there is one, else on dev.

    The weights equal those of `python -m src.train ... +tuned=NAME` with trainer.keep=last.

    Raises `TrainingDiverged` if the training diverges; the study then excludes this trial.
    """
    study = trainings.study
    config = winner_config(study, winner, set_sizes(pairs))
    tags = {"role": "winner", "trial.number": str(winner.number), PARENT: parent.run_id}
    with excluded_if_diverged(study, winner.number, Path(config.folder)):
        result = trainings.load_or_train(config, pairs, tags)
    parent.log_metrics({name: score.value for name, score in result.scores.items()})
    return result


def winner_config(study: SweepStudy, winner: Finalist, sizes: list[int]) -> Config:
    """Return the settings of the winner's training: one evaluation, at its end, since dev must not select anything."""
    config = with_params(training_config(study.config), winner.params)
    trainer = config.trainer
    once = replace(
        trainer,
        eval_steps=total_steps(trainer, *sizes),
        eval_every_epochs=None,
        save_steps=save_interval(trainer, *sizes),
        save_every_epochs=None,
        keep="last",
        resume="if_same",  # starts anew if the winner has changed
    )
    tracking = replace(config.tracking, run_name=f"winner, {trial_name(winner.number, winner.params)}")
    return replace(config, folder=str(study.folder / "winner"), trainer=once, tracking=tracking)


def log_winning_model(winner: Finalist, trainings: Trainings, parent: Run) -> None:
    """Record the winning trial's model in its MLflow run, unless it is recorded already."""
    study = trainings.study
    tracking = replace(study.config.tracking, models=True, register=False, champion="off")
    folder = str(study.trial_folder(winner.number))
    config = replace(training_config(study.config), folder=folder, tracking=tracking)
    run_id = known_run(config, study.trials()[winner.number].user_attrs.get("run_id"))
    if run_id is None or study.get_attr("logged_model_of") == winner.number:
        return
    result_folder = retrain_missing(winner, trainings, parent.run_id)
    result = Result.load(result_folder)
    with start_run(config, {}, run_id) as run:
        run.log_model(result_folder / "model", result.steps, result.reported, trainings.pairs)
        run.set_tags({"sweep.winner": "true"})
    study.set_attr("logged_model_of", winner.number)


def retrain_missing(winner: Finalist, trainings: Trainings, parent_run: str) -> Path:
    """Return the folder of the winning trial's result; train again if its model is missing on this machine."""
    study = trainings.study
    folder = study.trial_folder(winner.number)
    if not (folder / "model").is_dir():
        folder = study.folder / "confirm" / f"{winner.number:04d}-again"
        tags = {"role": "confirmation", "trial.number": str(winner.number), PARENT: parent_run}
        trainings.run(winner.params, folder, tags)
    return folder
