"""Settings in files of earlier runs and sweeps, read as plain data: no interpolation is resolved."""

from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.commands import is_searchable
from src.config.schema import flatten
from src.utils.errors import UserError, shorten

MAX_BYTES = 50_000
MAX_DEPTH = 10
"""Size of the largest accepted file, and its levels; the settings of a run take 3,000 bytes and 3 levels."""


def read_settings(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, with numbers as OmegaConf reads them; `${...}` stays text.

    Raises `UserError` unless the file is a mapping with plain values, lists and labels of them, small and without
    aliases: an alias of an alias can stand for billions of values.
    """
    try:
        settings = _parse(path)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(
            f"{path}: expected a file of settings in YAML, found {shorten(error)}: restore or remove it."
        ) from error
    for name, value in flatten(settings):
        inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]
        if not all(isinstance(one, str | int | float | None) for one in inner):
            raise UserError(
                f"{path}: expected a plain value, or a list of them, for {name}, found {shorten(repr(value))}:"
                " replace it."
            )
    return settings


def _parse(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError("no file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes")
    text = content.decode()
    _check_structure(text)
    if not text.strip():
        raise ValueError("nothing")
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(StringIO(text)), resolve=False))


def _check_structure(text: str) -> None:
    """Raise `ValueError` for an alias, and for depths that take the parser minutes (20,000 levels: 90 s)."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, yaml.SafeLoader)):
        if number == 2 and not isinstance(event, yaml.MappingStartEvent):  # after the starts of stream and document
            raise ValueError("no mapping")
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("an alias")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} levels")


def read_tuned(path: Path) -> dict[str, Any]:
    """Return the settings in a sweep's best.yaml.

    Raises `UserError` if the file sets a key that a sweep cannot search, or a value is an interpolation.
    """
    settings = read_settings(path)
    for name, value in flatten(settings):
        if not is_searchable(name):
            raise UserError(f"{path}: expected keys that a sweep can search, found {name}: remove it.")
        if "${" in str(value):
            raise UserError(
                f"{path}: expected a plain value of {name}, found the interpolation {shorten(repr(value))}: replace it."
            )
    return settings


def register_tuned(experiments: Path, wanted: Iterable[str] = ()) -> None:
    """Register NAME/sweep/best.yaml, the best settings of each sweep below `experiments`, as +tuned=NAME.

    Raises `UserError` if a file of `wanted` names is unusable; other unusable files are left out.
    """
    for best in sorted(experiments.glob("*/sweep/best.yaml")):
        name = best.parent.parent.name
        try:
            settings = read_tuned(best)
        except UserError:
            if name in wanted:
                raise
            continue
        ConfigStore.instance().store(group="tuned", name=name, node=OmegaConf.create(settings), package="_global_")
