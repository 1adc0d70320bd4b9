"""Settings under dotted names: flattened, filtered, compared and hashed."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from src.config.schema import Config

LOCATIONS = ("folder", "tracking", "data.local_folder", "model.cache", "trainer.resume")
"""Settings that say where something lies or whether to resume, not what is trained: the pairs have a digest."""
SHOWN = 3
"""Differences listed in a message; further ones are counted."""


def flatten(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names with their values, depth first."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def settings_without(settings: dict[str, Any], excluded: Iterable[str]) -> dict[str, str]:
    """Return nested settings under dotted names, except those `excluded` by their name or by that of a parent."""
    return {
        name: str(value)
        for name, value in flatten(settings)
        if not any(name == one or name.startswith(f"{one}.") for one in excluded)
    }


def training_settings(config: Config) -> dict[str, str]:
    """Return the settings that decide which model is trained, under dotted names."""
    return settings_without(asdict(config), LOCATIONS)


def config_hash(config: Config) -> str:
    """Return 12 hexadecimal digits that are equal for configurations that train the same model."""
    return hashlib.sha256(json.dumps(training_settings(config), sort_keys=True).encode()).hexdigest()[:12]


def describe_differences(former: dict[str, str], current: dict[str, str]) -> str:
    """Return which named values differ, as `name was X, is Y; …`; empty if none does."""
    names = sorted(name for name in former.keys() | current.keys() if former.get(name) != current.get(name))
    shown = [f"{name} was {former.get(name, 'not set')}, is {current.get(name, 'not set')}" for name in names[:SHOWN]]
    return "; ".join([*shown, *([f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else [])])
