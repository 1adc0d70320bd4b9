"""The configuration that a finished run has recorded in its config.yaml."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from src.config.files import read_settings
from src.config.model import HubEncoder
from src.config.schema import Config, DataConfig, ModelConfig
from src.config.tracking import TrackingConfig
from src.config.training import LossConfig, TrainerConfig
from src.utils.errors import UserError, shorten
from src.utils.files import path_of


def recorded_config(path: Path, folder: Path, tracking: TrackingConfig) -> Config:
    """Return the configuration in a config.yaml, with another result folder and tracking.

    Raises `UserError` if the settings are not those of a run of this version.
    """
    settings = read_settings(path)
    try:
        return Config(
            name=settings["name"],
            folder=str(folder),
            data=_match_dataclass(DataConfig.__args__, settings["data"]),
            model=_match_dataclass(ModelConfig.__args__, settings["model"]),
            loss=LossConfig(**settings["loss"]),
            trainer=TrainerConfig(**_upgrade(settings["trainer"])),
            tracking=tracking,
            published=settings["published"],
            selection=settings.get("selection", ""),  # not in those of an earlier version
        )
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected the settings of a run of this version, found {shorten(repr(error))}: check out the"
            " commit in its tag git.commit."
        ) from error


def check_base(config: Config, of: str) -> None:
    """Raise `UserError` if the base encoder of a finished run, `of`, was in a folder that is gone."""
    path = config.model.path if isinstance(config.model, HubEncoder) else None
    if path and not path_of(path).is_dir():
        raise UserError(f"{of}: expected its base encoder in {path}, found no folder: restore it.")


def _upgrade(trainer: dict[str, Any]) -> dict[str, Any]:
    """Return trainer settings of an old version as those of this one.

    There, `*_steps` below 1 was a share of an epoch, and `joint_projections` a speed-up that is gone.
    """
    upgraded = {key: value for key, value in trainer.items() if key != "joint_projections"}
    for name in ("eval", "save"):
        steps = upgraded.get(f"{name}_steps")
        if steps is not None and steps < 1:
            upgraded |= {f"{name}_steps": None, f"{name}_every_epochs": steps or None}
    return upgraded


def _match_dataclass(kinds: tuple[type, ...], settings: dict[str, Any]) -> Any:
    """Return the settings as the dataclass that has all these fields, and fewest others, which get their defaults.

    An earlier version recorded fewer settings. Raises `UserError` if no dataclass has all these fields.
    """
    possible = [kind for kind in kinds if {each.name for each in fields(kind)} >= set(settings)]
    if not possible:
        raise UserError(
            f"expected the settings of one of {[kind.__name__ for kind in kinds]}, found {sorted(settings)}: the run is"
            " of another version of this project, check out the commit in its tag git.commit."
        )
    return min(possible, key=lambda kind: len(fields(kind)))(**settings)
