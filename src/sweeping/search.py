"""How values are drawn and when a trial is given up."""

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, GPSampler, GridSampler, RandomSampler, TPESampler

from src.config.sweep import SweepConfig
from src.errors import UserError
from src.sweeping.values import Space, Value

MOST_GRID_POINTS = 100_000


def build_sampler(sweep: SweepConfig, space: Space, number: int) -> BaseSampler:
    """Return the sampler of one trial: what it draws depends on the seed, the trial's number and the trials before."""
    seed = int(np.random.SeedSequence([sweep.seed, number]).generate_state(1)[0])
    if sweep.sampler == "grid":
        return GridSampler(grid_of(space), seed=sweep.seed)  # the order of the grid is one for all trials
    if sweep.sampler == "random":
        return RandomSampler(seed=seed)
    if sweep.sampler == "gp":
        return GPSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=6, multivariate=True, constant_liar=True)


def build_pruner(name: str) -> BasePruner:
    """Return the pruner of that name for trials whose evaluations are reported at per cents of their training."""
    if name == "median":
        # two whole trials to compare with, the first of them the recipe itself: with three, often more than half of the
        # cost remained
        return MedianPruner(n_startup_trials=2, n_min_trials=2)
    if name == "hyperband":
        return HyperbandPruner(min_resource=10, max_resource=100, reduction_factor=3)
    return WilcoxonPruner(p_threshold=0.1) if name == "wilcoxon" else NopPruner()


def grid_of(space: Space) -> dict[str, list[Value]]:
    """Return all values of each key; raise `UserError` for a key that has endlessly many."""
    grid = {key: _grid_values(key, distribution) for key, distribution in space.items()}
    points = 1
    for values in grid.values():
        points *= len(values)
    if points > MOST_GRID_POINTS:
        raise UserError(
            f"sweep.sampler=grid: expected at most {MOST_GRID_POINTS:,} points, found {points:,}: widen steps."
        )
    return grid


def _grid_values(key: str, distribution: BaseDistribution) -> list[Value]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if distribution.step is None or distribution.log:
        raise UserError(
            f"sweep.sampler=grid: expected choices or a step for every key, found a whole range for {key}: give"
            f" sweep.space.{key} choices, or take another sampler."
        )
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + index * distribution.step for index in range(count)]
