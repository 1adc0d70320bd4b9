"""Values of a trial: drawn from the search space, put into the configuration, told in words."""

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
"""The distribution of each key."""


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


def in_words(values: dict[str, Any]) -> str:
    """Return the values as `learning_rate=3.1e-05 epochs=2`."""
    return " ".join(
        f"{key.rpartition('.')[2]}={f'{value:.3g}' if isinstance(value, float) else value}"
        for key, value in values.items()
    )
