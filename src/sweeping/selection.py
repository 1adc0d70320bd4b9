"""The choice of the winner: the best trials run again with further seeds, and what their difference is worth."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from src.errors import Diverged, UserError, in_short
from src.files import remove
from src.metrics.names import SPEARMAN
from src.metrics.statistics import Interval, percentile_interval, resampled_means, spearman
from src.report.console import console
from src.sweeping.study import SweepStudy, best_first
from src.sweeping.trainings import Trainings, given_up_if_diverged
from src.sweeping.values import in_words
from src.tracking import PARENT

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """One of the best trials, with what further seeds gave on the validation part."""

    number: int
    values: dict[str, Any]
    found: float
    """Spearman of the trial itself: the best of many, so too good by chance."""
    spearmans: list[float]
    """Spearman of each further seed."""
    gold: Floats
    """Scores of the validation pairs, shape (pairs,)."""
    predicted: Floats
    """Similarities by seed, shape (seeds, pairs)."""


@dataclass(frozen=True)
class Standing:
    """What is known of a candidate beside the winner."""

    number: int
    values: dict[str, Any]
    found: float
    mean: float
    """Mean Spearman of the further seeds."""
    interval: Interval
    """Its 95 % interval over pairs and seeds; candidates are ranked by the lower end."""
    behind: Interval
    """95 % interval of the winner's mean minus this one's, over the same pairs and seeds; 0 and 0 for the winner."""

    @property
    def tied(self) -> bool:
        """Whether the pairs and seeds do not tell it from the winner."""
        return self.behind.low <= 0


def confirm(trainings: Trainings, parent_run: str) -> list[Candidate]:
    """Run the best trials again with further seeds; what is there already is taken as it is.

    In place of one that diverges with another seed comes the next best, in a later sweep of the study too.

    Raises:
        UserError: no trial has finished, or none holds.

    """
    study = trainings.study
    wanted, finished = study.config.sweep.confirm, best_first(study)
    if not finished:
        raise UserError(_none_finished(study))
    seeds = wanted.seeds if min(wanted.top_k, len(finished)) > 1 else 0
    candidates: list[Candidate] = []
    for trial in finished:
        if len(candidates) == wanted.top_k:
            break
        if not study.left_out(trial.number):
            with suppress(Diverged):
                candidates.append(_run_again(trainings, trial, seeds, parent_run))
        if why := study.left_out(trial.number):
            console.print(f"trial {trial.number:3d}  left out: {why}", soft_wrap=True)
    if not candidates:
        raise UserError(
            "expected a finished trial that holds, found that all diverged when they were trained again: search lower"
            " learning rates (sweep.space) under another name=NAME."
        )
    return candidates


def _none_finished(study: SweepStudy) -> str:
    reasons = [in_short(trial.user_attrs["reason"]) for trial in study.trials() if "reason" in trial.user_attrs]
    return (
        f"expected at least one finished trial, found none (the last: {reasons[-1]}): set sweep.pruner=none where they"
        " were pruned, or search lower learning rates (sweep.space) under another name=NAME where they diverged."
    )


def _run_again(trainings: Trainings, trial: FrozenTrial, seeds: int, parent_run: str) -> Candidate:
    study, number, values = trainings.study, trial.number, dict(trial.params)
    spearmans, predicted, gold = [], [], np.empty(0)
    first = study.config.trainer.seed
    for seed in range(first + 1, first + 1 + seeds):
        folder = study.folder / "confirm" / f"{number:04d}-seed{seed}"
        tags = {"role": "confirmation", "trial.number": str(number), PARENT: parent_run}
        # as the winner is trained: to the end, with no validation part to stop by
        with given_up_if_diverged(study, number, folder):
            metrics = trainings.run(values, folder, tags, seed=seed, keep="last")
        remove(folder / "model")
        pairs = pd.read_parquet(folder / "predictions.parquet")
        gold = pairs["gold"].to_numpy(float)
        predicted.append(pairs["predicted"].to_numpy(float))
        spearmans.append(metrics[SPEARMAN])
        told = f"trial {number:3d}  again with seed {seed}: {spearmans[-1]:.4f}  {in_words(values)}"
        console.print(told, soft_wrap=True)
    return Candidate(number, values, trial.value or 0.0, spearmans, gold, np.array(predicted))


def rank(candidates: list[Candidate], seed: int) -> list[Standing]:
    """Return where the candidates stand, the winner first: by the lower end of the interval of their mean.

    Pairs and seeds are resampled together (percentile bootstrap; Efron, 1979), the same for all candidates, so that
    the intervals cover both the choice of the validation pairs and the luck of a seed. Without further seeds the order
    is that of the trials, and nothing is known about the differences.
    """
    if not all(candidate.spearmans for candidate in candidates):
        alone = Interval(float("nan"), float("nan"))
        return [Standing(one.number, one.values, one.found, one.found, alone, alone) for one in candidates]
    means = [resampled_means(spearman, candidate.gold, candidate.predicted, seed) for candidate in candidates]
    intervals = [percentile_interval(mean) for mean in means]
    order = sorted(range(len(candidates)), key=lambda index: -intervals[index].low)
    return [
        Standing(
            candidates[index].number,
            candidates[index].values,
            candidates[index].found,
            float(np.mean(candidates[index].spearmans)),
            intervals[index],
            percentile_interval(means[order[0]] - means[index]),
        )
        for index in order
    ]
