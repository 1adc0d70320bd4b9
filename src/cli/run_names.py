"""Name of a run from its command line: what differs from the defaults of its experiment, in words."""

import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, cast

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from src.cli.overrides import override_key, override_value
from src.config import Config
from src.config.schema import flatten
from src.config.words import default_run_name, describe, join_parts

IDENTITY = re.compile(
    r"experiment|name|folder|data|data\.sets|data\.(sets\.\w+\.)?(train|dev|test|local_folder|hub_\w+)"
)
"""Overrides that say which experiment it is: the file with its defaults, its name, and its pairs."""
GROUPS = ("model", "loss", "trainer")
"""Config groups whose choice is a difference, described by the name of the option."""
DESCRIBED = re.compile(
    r"(model|loss|trainer|data)\.(?!cache$|checkpoints$|resume$|threads$|name$|primary$)\w+|(model|loss)\.name"
    r"|model\.\w*prompts\.\w+|data\.sets\.\w+\.(?!train$|dev$|test$|local_folder$)\w+(\.\w+)?"
)
"""Settings that may be part of a name: no paths, nothing that does not matter for the result."""


def name_run(config: Config) -> str | None:
    """Return a name for the run of the job that Hydra runs: `tracking.run_name`, else what differs from the defaults.

    None if nothing differs: the run is then named by its seed and the time of its start.
    """
    if config.tracking.run_name:
        return config.tracking.run_name
    differences = _differences(config, HydraConfig.get().overrides.task)
    return default_run_name(config, differences) if differences else None


def _differences(config: Config, overrides: Iterable[str]) -> str:
    """Return what the overrides change, in words: options of `GROUPS`, and the settings that no option explains."""
    keys = {override: override_key(override) for override in overrides}
    identity = [override for override, key in keys.items() if IDENTITY.fullmatch(key)]
    chosen = {key: override for override, key in keys.items() if key in GROUPS and not override.startswith("~")}
    defaults = _compose(identity)
    explained = _compose([*identity, *chosen.values()]) if chosen else defaults
    current = {key: value for key, value in flatten(asdict(config)) if DESCRIBED.fullmatch(key)}
    params = {key: value for key, value in current.items() if key not in explained or explained[key] != value}
    if "model.name" in params:
        params.pop("model.path", None)
    options = [
        override_value(override)
        for group, override in chosen.items()
        if not {f"{group}.name", f"{group}.path"} & params.keys() and _part(explained, group) != _part(defaults, group)
    ]
    return join_parts([*options, describe(params)])


def _compose(overrides: list[str]) -> dict[str, Any]:
    """Return the settings that these overrides alone give, by dotted key; what is mandatory may be missing."""
    composed = compose(HydraConfig.get().job.config_name, overrides)
    return dict(flatten(cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))))


def _part(settings: dict[str, Any], group: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key.startswith(f"{group}.")}
