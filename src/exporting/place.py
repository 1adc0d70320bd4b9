"""Where an export is written, and the checks of a command that need no library."""

import os
from pathlib import Path

from src.config.export import ExportConfig
from src.exporting.folder import INFO, RUNTIMES, require_packages
from src.prediction.encoder import REGISTRY, check_address, experiment_of
from src.utils.errors import UserError
from src.utils.files import path_of

FOLDER = "export"
"""Folder of an experiment with its exports."""


def check_settings(config: ExportConfig) -> None:
    """Raise `UserError` if a package is missing, there is no such model, or nothing to compare the export on."""
    require_packages(["onnx", RUNTIMES[config.format]], config.format)
    if (path_of(config.model) / INFO).is_file():
        raise UserError(f"model={config.model}: expected a model to export, found an export: give the model it is of.")
    check_address(config.model)
    experiment = experiment_of(config.model)
    output_of(config, experiment)
    if experiment is None and not config.model.startswith(REGISTRY) and not config.data.dev:
        raise no_examples(config.model)


def no_examples(model: str) -> UserError:
    """Return the error for a model of which no evaluated examples are known."""
    return UserError(
        f"model={model}: expected an experiment, whose examples are known, or examples to compare the export with the"
        " model on, found neither: set data.dev=FILE, with the keys of data=pairs."
    )


def output_of(config: ExportConfig, experiment: Path | None) -> Path:
    """Return the folder of the export; raise `UserError` if there is none, or it contains something else."""
    if config.output:
        path = path_of(config.output)
    elif experiment:
        cut = f"-{config.export.dims}" if config.export.dims else ""
        path = experiment / FOLDER / f"{config.format}-{config.precision}{cut}"
    else:
        raise UserError(
            f"model={config.model}: expected an experiment, whose folder takes the export, or output=FOLDER, found"
            " neither: set output."
        )
    if path.exists() and not (path / INFO).is_file():
        raise UserError(f"output={path}: expected a former export or nothing, found something else: choose another.")
    above = next(each for each in path.absolute().parents if each.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        found = "a folder that this user may not write" if above.is_dir() else "a file"
        raise UserError(f"output={path}: expected a folder that can take it, found {found} at {above}: choose another.")
    return path
