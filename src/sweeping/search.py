"""Samplers and pruners of a sweep."""

import math
from decimal import Decimal

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, PercentilePruner, WilcoxonPruner
from optuna.samplers import BaseSampler, GPSampler, GridSampler, RandomSampler, TPESampler

from src.config.commands import SweepConfig
from src.sweeping.space import Param, Space
from src.utils.errors import UserError

MAX_GRID_POINTS = 100_000


def build_sampler(sweep: SweepConfig, space: Space, number: int) -> BaseSampler:
    """Return the sampler of one trial; its params depend on the seed, the trial's number and the trials before it."""
    seed = int(np.random.SeedSequence([sweep.seed, number]).generate_state(1)[0])
    if sweep.sampler == "grid":
        return GridSampler(build_grid(space), seed=sweep.seed)  # all trials share one order of the grid
    if sweep.sampler == "random":
        return RandomSampler(seed=seed)
    if sweep.sampler == "gp":
        return GPSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=6, multivariate=True, constant_liar=True)


def build_pruner(name: str) -> BasePruner:
    """Return the pruner `name`, for values that are reported by percentage of the training run.

    It is asked from half of each training on, by `TrialCallback`.
    """
    if name == "percentile":
        # Stops a trial whose best value so far is below nine tenths of at least five completed ones. A seed alone moves
        # a result on 537 pairs by 0.011 half way and by 0.006 at the end: the median pruner would stop many good trials
        # (docs/sweeps.md). Optuna compares the best value so far: this spares a training that falls, which will lose in
        # the end, and is lenient to later folds if the first one was easy.
        return PercentilePruner(90.0, n_startup_trials=5, n_min_trials=5)
    if name == "median":
        return MedianPruner(n_startup_trials=2, n_min_trials=2)
    if name == "hyperband":
        return HyperbandPruner(min_resource=10, max_resource=100, reduction_factor=3)
    return WilcoxonPruner(p_threshold=0.1) if name == "wilcoxon" else NopPruner()


def build_grid(space: Space) -> dict[str, list[Param]]:
    """Return all values of each key; raise `UserError` for a continuous key or a grid that is too large."""
    grid = {key: _grid_values(key, distribution) for key, distribution in space.items()}
    points = math.prod(len(values) for values in grid.values())
    if points > MAX_GRID_POINTS:
        raise UserError(
            f"sweep.sampler=grid: expected at most {MAX_GRID_POINTS:,} points, found {points:,}: set larger steps."
        )
    return grid


def _grid_values(key: str, distribution: BaseDistribution) -> list[Param]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if distribution.step is None or distribution.log:
        raise UserError(
            f"sweep.sampler=grid: expected choices or a step for every key, found a continuous range for {key}: give"
            f" sweep.space.{key} choices, or set another sampler."
        )
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    # exact: as floats, 2e-5 + 3 * 1e-5 is not 5e-5
    low, step = (Decimal(str(value)) for value in (distribution.low, distribution.step))
    kind = int if isinstance(distribution, IntDistribution) else float
    return [kind(low + index * step) for index in range(count)]
