"""The choice of the winner: the best trials run again with further seeds, and what their difference is worth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from src.errors import Diverged, UserError
from src.files import remove
from src.metrics.names import SPEARMAN
from src.metrics.statistics import Interval, percentile_interval, resampled_means, spearman
from src.report.console import console
from src.sweeping.study import best_first
from src.sweeping.trainings import Trainings
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

    A trial that diverges with another seed is left out, by a later sweep of the study too.

    Raises:
        UserError: no trial has finished, or none of the best holds.

    """
    study = trainings.study
    wanted = study.config.sweep.confirm
    best = best_first(study)[: wanted.top_k]
    if not best:
        raise UserError("expected at least one finished trial, found all of them pruned: set sweep.pruner=none.")
    seeds = wanted.seeds if len(best) > 1 else 0
    candidates = []
    for trial in best:
        key = f"diverged.{trial.number}"
        if not study.noted(key):
            try:
                candidates.append(_run_again(trainings, trial, seeds, parent_run))
                continue
            except Diverged as reason:
                study.note(key, reason.what)
        console.print(f"trial {trial.number:3d}  left out: {study.noted(key)}", soft_wrap=True)
    if not candidates:
        raise UserError(
            "expected a trial among the best that holds with further seeds, found that all diverged: lower the learning"
            " rates of sweep.space."
        )
    return candidates


def _run_again(trainings: Trainings, trial: FrozenTrial, seeds: int, parent_run: str) -> Candidate:
    study, number, values = trainings.study, trial.number, dict(trial.params)
    spearmans, predicted, gold = [], [], np.empty(0)
    first = study.config.trainer.seed
    for seed in range(first + 1, first + 1 + seeds):
        folder = study.folder / "confirm" / f"{number:04d}-seed{seed}"
        tags = {"role": "confirmation", "trial.number": str(number), PARENT: parent_run}
        # as the winner is trained: to the end, with no validation part to stop by
        try:
            metrics = trainings.run(values, folder, tags, seed=seed, keep="last")
        except Diverged:
            remove(folder)
            raise
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
