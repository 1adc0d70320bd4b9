"""What `model=` may name, and the encoder it leads to."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from sentence_transformers import SentenceTransformer
from sentence_transformers.util import get_device_name

from src.config.model import EmbeddedEncoder, HubEncoder
from src.encoder import load_encoder
from src.encoder.hub import load_hub
from src.errors import UserError

EMBEDDED = EmbeddedEncoder().name
REGISTRY = "models:/"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
MARKS = ("modules.json", "config.json")
"""Files that a model folder holds at least one of."""


def load_model(model: str, tracking_uri: str) -> SentenceTransformer:
    """Return the encoder in float32 and evaluation mode, with its own input length, on the library's choice of device.

    `model` is an experiment folder, a model folder, `owner/name` on the Hub, models:/NAME/VERSION in the MLflow store
    at `tracking_uri`, or the name of the embedded encoder. What exists as a folder is taken as one.

    Raises:
        UserError: there is no such model, or it cannot be loaded.

    """
    return _load(model, tracking_uri).float().eval().to(get_device_name())


def _load(model: str, tracking_uri: str) -> SentenceTransformer:
    if model.startswith(REGISTRY):
        return _from_registry(model, tracking_uri)
    path = Path(model).expanduser()
    if model == EMBEDDED and not path.exists():
        return load_encoder(EmbeddedEncoder())
    if HUB_NAME.fullmatch(model) and not path.exists() and not path.parent.is_dir():
        return _from_hub(HubEncoder(name=model), f"model={model} is no folder here ({Path.cwd()}), so ")
    return _from_hub(HubEncoder(path=str(_model_folder(path))))


def _model_folder(path: Path) -> Path:
    """Return the folder itself or model/ in it, whichever holds a model."""
    if not path.is_dir():
        found = "a file" if path.is_file() else "nothing"
        raise UserError(
            f"model={path}: expected an experiment folder or a model folder, found {found} (from {Path.cwd()}):"
            f" give a folder, OWNER/NAME on the Hub, {REGISTRY}NAME/VERSION or {EMBEDDED}."
        )
    for folder in (path / "model", path):
        if any((folder / mark).is_file() for mark in MARKS):
            return folder
    raise UserError(
        f"model={path}: expected a folder with model/ or one of {list(MARKS)} in it, found neither:"
        " train the experiment to its end, or give another folder."
    )


def _from_hub(model: HubEncoder, remark: str = "") -> SentenceTransformer:
    try:
        return load_hub(model)
    except UserError as error:  # says what to do in the words of a training
        raise UserError(remark + str(error).replace("model.path", "model")) from error


def _from_registry(address: str, tracking_uri: str) -> SentenceTransformer:
    from src.tracking import download_model  # mlflow takes seconds to import, and only this needs it

    with TemporaryDirectory() as scratch:
        return _from_hub(HubEncoder(path=str(download_model(address, tracking_uri, Path(scratch)))))
