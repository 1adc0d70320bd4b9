"""Encoders from the Hugging Face Hub or from a folder."""

from pathlib import Path

from huggingface_hub import snapshot_download
from sentence_transformers import SentenceTransformer

from src.config.model import HubEncoder
from src.encoder.folder import PICKLES, folder_problem, weights_problem
from src.errors import UserError
from src.hub import hub_reachable

WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
UNWANTED = ["onnx/*", "openvino/*"]


def load_hub(model: HubEncoder) -> SentenceTransformer:
    """Return a sentence-transformers model, or a plain transformers model with mean pooling on top.

    It comes from the folder `model.path` if that is set, else from the Hugging Face cache, else from the Hub.

    Raises:
        UserError: the folder is missing or lacks a part, the Hub cannot be reached or lacks the model, or the
            model holds only pickled weights or needs code of its own.

    """
    folder = _local_folder(model.path) if model.path else _hub_folder(model)
    if problem := folder_problem(folder):
        raise UserError(problem)
    try:
        encoder = SentenceTransformer(
            str(folder),
            device="cpu",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
        encoder.encode("가", show_progress_bar=False)
    except Exception as error:  # a folder can be wrong in as many ways as there are models
        found = _first_line(error)
        raise UserError(
            f"expected a model that loads from {folder} and embeds text, found: {found}. Choose another model."
        ) from error
    if problem := weights_problem(encoder, folder):
        raise UserError(problem)
    return encoder


def find_folder(model: HubEncoder) -> Path | None:
    """Return the folder with the model if it is on this machine, be it `model.path` or in the Hugging Face cache."""
    if model.path:
        return Path(model.path).expanduser()
    try:
        return Path(snapshot_download(model.name, revision=model.revision, local_files_only=True))
    except (OSError, ValueError):  # not in the cache; a name that is none
        return None


def _local_folder(path: str) -> Path:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"expected a folder with a model at model.path={path}, found none: set model.path=FOLDER.")
    return folder


def _hub_folder(model: HubEncoder) -> Path:
    cached = find_folder(model)
    if cached and folder_problem(cached) is None:
        return cached
    revision = f" at revision {model.revision}" if model.revision else ""
    expected = f"expected {model.name}{revision} in the Hugging Face cache or on the Hub"
    advice = "set model.path=FOLDER to a copy of it, HF_HOME to a cache that has it, or model=e5_small_ko."
    if not hub_reachable():
        raise UserError(f"{expected}, found it in no cache and the Hub out of reach: {advice}")
    try:
        return _download(model)
    except (OSError, ValueError) as error:
        raise UserError(f"{expected}, found: {_first_line(error)}. Check its name and revision, or {advice}") from error


def _download(model: HubEncoder) -> Path:
    """Return the folder of the downloaded model; pickles come along only where there are no other weights."""
    for wanted in (WANTED, [*WANTED, *PICKLES]):
        folder = Path(
            snapshot_download(model.name, revision=model.revision, allow_patterns=wanted, ignore_patterns=UNWANTED)
        )
        if folder_problem(folder) is None:
            break
    return folder


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
