"""The search space: which keys of the configuration are drawn from what."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from src.config import Config
from src.errors import UserError

Value = float | int | str | bool | None
Space = dict[str, BaseDistribution]
SETTLED = ("name", "folder", "data", "tracking", "published", "sweep")
"""Parts of the configuration that say what is compared and where it goes: no trial changes them."""
OWNED = tuple(f"trainer.{key}" for key in ("keep", "checkpoints", "resume", "eval_steps", "seed", "threads"))
"""Keys the sweep sets itself."""
MOST_GRID_POINTS = 100_000


@dataclass
class Parameter:
    """One entry of sweep.space."""

    choices: list[Value] | None = None
    """Values to choose from."""
    low: float | None = None
    """Least value."""
    high: float | None = None
    """Greatest value, which can be drawn."""
    log: bool = False
    """Draw the logarithm evenly."""
    integer: bool = False
    """Draw whole numbers."""
    step: float | None = None
    """Distance between values, from `low` on."""


NAMES = {field.name for field in fields(Parameter)}


def build_space(entries: dict[str, Any], config: Config) -> Space:
    """Return the distribution of each key, in the order given.

    Raises:
        UserError: an entry is none of the forms, its key is unknown, or one of its ends is impossible.

    """
    space = {key: _distribution(key, entry) for key, entry in _entries(entries)}
    if not space:
        raise UserError("sweep.space must name at least one key, found none: see conf/sweep.yaml for an example.")
    for key, distribution in space.items():
        for value in ends(distribution):
            with_values(config, {key: value})
    return space


def _entries(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in values.items():
        if not isinstance(value, dict):
            raise UserError(
                f"sweep.space.{prefix}{key} must be a mapping such as {{low: 1, high: 3}} or {{choices: [1, 3]}},"
                f" found {value!r}: write one of them."
            )
        if value and set(value) & NAMES:
            yield prefix + key, value
        else:
            yield from _entries(value, f"{prefix}{key}.")


def _distribution(key: str, entry: dict[str, Any]) -> BaseDistribution:
    """Return Optuna's form of an entry."""
    name = f"sweep.space.{key}"
    if key.split(".")[0] in SETTLED or key in OWNED:
        raise UserError(f"{name} must be a key of how a model is trained, found one that is the same for all trials.")
    try:
        parameter = Parameter(**entry)
        if parameter.choices is not None:
            if len(entry) > 1 or not parameter.choices:
                raise ValueError("choices stand alone and are not empty")
            return CategoricalDistribution(parameter.choices)
        if parameter.low is None or parameter.high is None:
            raise ValueError("low and high go together")
        if parameter.low >= parameter.high:
            raise ValueError("low is below high")
        if parameter.integer and not (float(parameter.low).is_integer() and float(parameter.high).is_integer()):
            raise ValueError("low and high of whole numbers are whole")
        if parameter.integer:
            return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, int(parameter.step or 1))
        return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name} must be {{choices: [...]}} or {{low: A, high: B}} with log, integer or step, found {entry}"
            f" ({error}): mend it on the command line or in conf/sweep.yaml."
        ) from error


def ends(distribution: BaseDistribution) -> list[Value]:
    """Return both ends of a range, or all choices."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return [distribution.low, distribution.high]


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


def draw(trial: Trial, space: Space) -> dict[str, Value]:
    """Return the values of a trial: new ones, or those it was given before."""
    values: dict[str, Value] = {}
    for key, distribution in space.items():
        if isinstance(distribution, CategoricalDistribution):
            values[key] = trial.suggest_categorical(key, distribution.choices)
        elif isinstance(distribution, IntDistribution):
            values[key] = trial.suggest_int(
                key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        elif isinstance(distribution, FloatDistribution):
            values[key] = trial.suggest_float(
                key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
    return values


def with_values(config: Config, values: dict[str, Any]) -> Config:
    """Return a checked copy of the configuration with other values at dotted keys.

    Raises:
        UserError: a key does not exist, or a value is of another type or impossible.

    """
    composed = OmegaConf.structured(config)
    for key, value in values.items():
        try:
            OmegaConf.update(composed, key, value)
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"sweep.space.{key} must name a key of the configuration and fit its type, found {value!r} ({reason}):"
                " see src/config for the keys."
            ) from error
    changed = OmegaConf.to_object(composed)
    assert isinstance(changed, Config)
    return changed


def present(config: Config, space: Space) -> dict[str, Value] | None:
    """Return the configuration's own values of the keys, None if one of them lies outside of the space."""
    composed = OmegaConf.structured(config)
    values = {key: OmegaConf.select(composed, key) for key in space}
    return values if all(_holds(space[key], value) for key, value in values.items()) else None


def _holds(distribution: BaseDistribution, value: Value) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return isinstance(value, float | int) and distribution._contains(value)
