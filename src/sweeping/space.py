"""Search space: a distribution for each key, and configurations with the params of a trial."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from src.config import Config, SweepSettings
from src.config.commands import SEARCHABLE, is_searchable
from src.config.model import HubEncoder
from src.utils.errors import UserError

Param = float | int | str | bool | None
Params = dict[str, Param]
"""A value for each searched key."""
Space = dict[str, BaseDistribution]
"""A distribution for each searched key."""


@dataclass
class SpaceEntry:
    """One entry of sweep.space."""

    choices: list[Param] | None = None
    """Values to choose from; excludes all other fields."""
    low: float | None = None
    """Smallest value."""
    high: float | None = None
    """Largest value, inclusive."""
    log: bool = False
    """Sample on a logarithmic scale."""
    integer: bool = False
    """Sample integers."""
    step: float | None = None
    """Distance between values, starting at `low`."""

    def distribution(self) -> BaseDistribution:
        """Return Optuna's distribution; raise `ValueError` if the fields contradict each other."""
        if self.choices is not None:
            if self != SpaceEntry(self.choices) or not self.choices:
                raise ValueError("choices must stand alone and must not be empty")
            _check_choices(self.choices)
            return CategoricalDistribution(self.choices)
        if self.low is None or self.high is None:
            raise ValueError("low and high must be given together")
        numbers = [self.low, self.high, *([] if self.step is None else [self.step])]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError("low, high and step must be finite numbers")
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError("step must be above 0 and at most high - low")
        if not self.integer:
            return FloatDistribution(self.low, self.high, self.log, self.step)
        if any(number % 1 for number in numbers):
            raise ValueError("low, high and step must be whole numbers with integer")
        return IntDistribution(int(self.low), int(self.high), self.log, int(self.step or 1))


def _check_choices(choices: list[Param]) -> None:
    """Raise `ValueError` unless the choices are a list of single, different values."""
    if not isinstance(choices, list) or any(isinstance(choice, dict | list) for choice in choices):
        raise ValueError("choices must be a list of numbers, texts, true, false or null, not of lists or mappings")
    if any(isinstance(choice, float) and not math.isfinite(choice) for choice in choices):
        raise ValueError("choices must be finite")
    if len(set(choices)) < len(choices):
        raise ValueError("choices must differ from each other")


ENTRY_FIELDS = {field.name for field in fields(SpaceEntry)}


def sweep_folder(config: SweepSettings) -> Path:
    """Return the folder with all files of the sweep."""
    return Path(config.folder) / "sweep"


def training_config(config: Config) -> Config:
    """Return a copy of a sweep's settings without those of the sweep itself."""
    return Config(**{field.name: copy.deepcopy(getattr(config, field.name)) for field in fields(Config)})


def build_space(entries: dict[str, Any], config: Config) -> Space:
    """Return the distribution of each key, in the order given.

    Raises `UserError` if there is no entry, or one is malformed, has an unknown key or a bound that is not allowed.
    """
    space = {key: _distribution(key, entry) for key, entry in _flat_entries(entries)}
    if not space:
        raise UserError("sweep.space must name at least one key, found none: see conf/sweep.yaml for an example.")
    for key, distribution in space.items():
        if OmegaConf.is_config(OmegaConf.select(OmegaConf.structured(config), key, throw_on_missing=False)):
            raise UserError(
                f"sweep.space.{key} must name a key with a single value, found a group or a list: search its keys,"
                f" such as sweep.space.trainer.epochs, or run one sweep for each {key}."
            )
        for value in values(distribution):
            model = with_params(config, {key: value}).model
            if isinstance(model, HubEncoder):
                model.check_path()
    return space


def _flat_entries(entries: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in entries.items():
        if not isinstance(value, dict):
            raise UserError(
                f"sweep.space.{prefix}{key} must be a mapping such as {{low: 1, high: 3}} or {{choices: [1, 3]}},"
                f" found {value!r}: write one of them."
            )
        if value.keys() & ENTRY_FIELDS:
            yield f"{prefix}{key}", value
        else:
            yield from _flat_entries(value, f"{prefix}{key}.")


def _distribution(key: str, entry: dict[str, Any]) -> BaseDistribution:
    name = f"sweep.space.{key}"
    if not is_searchable(key) and key not in SEARCHABLE:
        raise UserError(f"{name} must be a key that a trial may change, found one that is the same for all trials.")
    try:
        return SpaceEntry(**entry).distribution()
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name} must be {{choices: [...]}} or {{low: A, high: B}} with log, integer or step, found {entry}"
            f" ({error}): correct it on the command line or in conf/sweep.yaml."
        ) from error


def values(distribution: BaseDistribution) -> list[Param]:
    """Return values that a distribution can yield: all choices, or both ends of a range and a value between them."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    return [low, low + (step or (high - low) / math.pi), high]


def contains(distribution: BaseDistribution, value: Param) -> bool:
    """Return whether a distribution can yield a value; Optuna's own test is private."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return isinstance(value, float | int) and distribution._contains(value)


def suggest(trial: Trial, space: Space) -> Params:
    """Return the params of a trial: new ones, or those it already has."""
    return {key: _suggest(trial, key, distribution) for key, distribution in space.items()}


def _suggest(trial: Trial, key: str, distribution: BaseDistribution) -> Param:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(key, low, high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def with_params(config: Config, params: dict[str, Any]) -> Config:
    """Return a validated copy of the configuration with these params at their dotted keys.

    Raises `UserError` if a key does not exist, or a value has another type or is not allowed.
    """
    composed = OmegaConf.structured(config)
    for key, value in params.items():
        try:
            OmegaConf.update(composed, key, value)
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"sweep.space.{key} must name a key of the configuration and fit its type, found {value!r} ({reason}):"
                " see src/config for the keys, and add integer: true to a range of whole numbers."
            ) from error
    return cast(Config, OmegaConf.to_object(composed))


def current_params(config: Config, space: Space) -> Params | None:
    """Return the configuration's own values of the searched keys, None if one of them is outside the space."""
    composed = OmegaConf.structured(config)
    params = {key: OmegaConf.select(composed, key) for key in space}
    return params if all(contains(space[key], value) for key, value in params.items()) else None
