"""Settings as dotted names and values: flatten, filter, compare and hash them."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from src.config.schema import Config

LOCATIONS = ("folder", "tracking", "data.local_folder", "model.cache", "trainer.resume")
"""Settings that do not affect the trained model: paths, tracking and resuming. The pairs are compared by digest."""
SHOWN = 3
"""Maximum number of differences listed in a message; further ones are only counted."""


def flatten(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each dotted name with its value, depth first."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def settings_without(settings: dict[str, Any], excluded: Iterable[str]) -> dict[str, str]:
    """Return nested settings by dotted name, without those whose own name or a parent's name is `excluded`."""
    return {
        name: str(value)
        for name, value in flatten(settings)
        if not any(name == one or name.startswith(f"{one}.") for one in excluded)
    }


def training_settings(config: Config) -> dict[str, str]:
    """Return the settings that affect the trained model, by dotted name."""
    return settings_without(asdict(config), LOCATIONS)


def config_hash(config: Config) -> str:
    """Return a hash of the settings that affect the trained model, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(training_settings(config), sort_keys=True).encode()).hexdigest()[:12]


def describe_differences(former: dict[str, str], current: dict[str, str]) -> str:
    """Return the differences between two sets of values as `name was X, is Y; …`, empty if there are none."""
    names = sorted(name for name in former.keys() | current.keys() if former.get(name) != current.get(name))
    shown = [f"{name} was {former.get(name, 'not set')}, is {current.get(name, 'not set')}" for name in names[:SHOWN]]
    return "; ".join([*shown, *([f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else [])])
