"""Samplers and pruners of a sweep."""

import math

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, WilcoxonPruner
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
    """Return the pruner `name`, for values that are reported by percentage of the training run."""
    if name == "median":
        # prunes after two complete trials, the first of which has the recipe's own params; after three, pruning often
        # saved less than half of the cost
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
    return [distribution.low + index * distribution.step for index in range(count)]
