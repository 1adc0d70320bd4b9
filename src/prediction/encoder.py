"""The encoder in `model=`: a folder, a model on the Hub, a registered version, or the embedded encoder.

Libraries are imported only after the address is checked, since they take seconds.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from src.config.model import EmbeddedEncoder, HubEncoder
from src.evaluation.result import RESULT_FILE
from src.utils.errors import UserError
from src.utils.files import path_of
from src.utils.staging import roll_forward

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

EMBEDDED = EmbeddedEncoder().name
REGISTRY = "models:/"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
OTHERS = f"OWNER/NAME on the Hub, {REGISTRY}NAME/VERSION or {EMBEDDED}"
"""What can be given but a folder."""
EXPORT_INFO = "export.json"
"""File of an export folder, see src/exporting."""
SETTINGS = "config.yaml"
"""File of an experiment with its settings."""
MODEL_FILES = ("modules.json", "config.json")
"""A model folder contains at least one of these files."""


def load_model(model: str, tracking_uri: str, key: str = "model") -> "SentenceTransformer":
    """Return the encoder in float32 and evaluation mode, with its own `max_seq_length`, on the default device.

    `model` is an experiment folder, a model folder, an export folder, whose encoder stays on the CPU, `owner/name` on
    the Hub, models:/NAME/VERSION in the MLflow store at `tracking_uri`, or the name of the embedded encoder. An
    existing folder takes precedence over the other meanings. `key`: the setting, named in errors.

    Raises `UserError` if there is no such model, or it cannot be loaded.
    """
    path = path_of(model)
    if (path / EXPORT_INFO).is_file():
        from src.exporting.runtime import load_export  # imports torch

        return load_export(path)
    if found := _without_folder(model):
        return _load(found, model, key)
    with model_folder(model, tracking_uri, OTHERS, key) as folder:
        return _load(HubEncoder(path=str(folder)), model, key)


def experiment_of(model: str) -> Path | None:
    """Return the folder of a finished experiment that a model names, itself or by its model/, None for others."""
    path = path_of(model)
    for folder in (path, path.parent) if path.name == "model" else (path,):
        if (folder / RESULT_FILE).is_file() and (folder / SETTINGS).is_file():
            return folder
    return None


def check_address(model: str, key: str = "model") -> None:
    """Raise `UserError` if `model` names a folder that does not exist or has no model; imports and reads nothing.

    `key`: the setting, named in the error.
    """
    path = path_of(model)
    if not (path / EXPORT_INFO).is_file() and not model.startswith(REGISTRY) and _without_folder(model) is None:
        _find_folder(path, OTHERS, key)


def _without_folder(model: str) -> EmbeddedEncoder | HubEncoder | None:
    """Return the embedded encoder or the model on the Hub that `model` names, None if it names neither."""
    path = path_of(model)
    if model == EMBEDDED and not path.exists():
        return EmbeddedEncoder()
    is_on_hub = HUB_NAME.fullmatch(model) and not path.exists() and not path.parent.is_dir()
    return HubEncoder(name=model) if is_on_hub else None


@contextmanager
def model_folder(
    model: str, tracking_uri: str, others: str = f"{REGISTRY}NAME/VERSION", key: str = "model"
) -> Iterator[Path]:
    """Yield the folder of the encoder that `model` names; a registered version is downloaded for the block.

    Raises `UserError`, with `others` as what can be given but a folder, if there is no such model.
    """
    if not model.startswith(REGISTRY):
        yield _find_folder(path_of(model), others, key)
        return
    from src.tracking import download_model  # imports mlflow, which takes seconds

    with TemporaryDirectory() as scratch:
        yield download_model(model, tracking_uri, Path(scratch))


def _find_folder(path: Path, others: str, key: str) -> Path:
    """Return the folder of the encoder in an experiment folder or a model folder."""
    if not path.is_dir():
        found = "a file" if path.is_file() else "nothing"
        raise UserError(
            f"{key}={path}: expected an experiment folder or a model folder, found {found} (from {Path.cwd()}):"
            f" give a folder, {others}."
        )
    for experiment in (path, path.parent):
        roll_forward(experiment)
    for folder in (path / "model", path):
        if any((folder / name).is_file() for name in MODEL_FILES):
            return folder
    raise UserError(
        f"{key}={path}: expected a folder with model/ or one of {list(MODEL_FILES)} in it, found neither:"
        " train the experiment to its end, or give another folder."
    )


def _load(found: EmbeddedEncoder | HubEncoder, model: str, key: str) -> "SentenceTransformer":
    from sentence_transformers.util import get_device_name

    from src.encoder import load_encoder

    try:
        encoder = load_encoder(found)
    except UserError as error:
        is_hub = isinstance(found, HubEncoder) and not found.path
        remark = f"{key}={model} is no folder here ({Path.cwd()}), so " if is_hub else ""
        # the message names the key of src.train
        raise UserError(remark + str(error).replace("model.path", key)) from error
    return encoder.to(get_device_name())
