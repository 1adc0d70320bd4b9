"""The search space: which keys of the configuration are drawn from what."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from src.config import Config
from src.errors import UserError
from src.sweeping.values import Space, Value, with_values

SETTLED = ("name", "folder", "data", "tracking", "published", "sweep")
"""Parts of the configuration that say what is compared and where it goes: no trial changes them."""
OWNED = tuple(
    f"trainer.{key}" for key in ("keep", "checkpoints", "save_steps", "resume", "eval_steps", "seed", "threads")
)
"""Keys the sweep sets itself."""


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
