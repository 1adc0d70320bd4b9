"""Encoders from the Hugging Face Hub or a folder, checked: safetensors only, no missing or non-finite weights."""

import json
import math
import shlex
from pathlib import Path

from huggingface_hub import snapshot_download
from safetensors import safe_open
from sentence_transformers import SentenceTransformer
from torch.nn.utils import get_total_norm

from src.config.model import HubEncoder
from src.utils.environment import hub_reachable
from src.utils.errors import UserError

ALLOW_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
IGNORE_PATTERNS = ["onnx/*", "openvino/*"]
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
CONVERT = (
    'python -c "import torch, safetensors.torch as s; '
    "w = torch.load('pytorch_model.bin', 'cpu', weights_only=True); "
    "s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors', {'format': 'pt'})\""
)
"""Command that converts pickled weights to safetensors."""


def load_hub(model: HubEncoder) -> SentenceTransformer:
    """Return a sentence-transformers model, or a plain transformers model with mean pooling added.

    It is loaded from the folder `model.path` if set, else from the Hugging Face cache, else from the Hub.

    Raises `UserError` if the folder is incomplete, the Hub is unreachable or lacks the model, or the model has only
    pickled weights or requires code of its own.
    """
    folder = Path(model.path).expanduser() if model.path else _hub_folder(model)
    if problem := _folder_problem(folder):
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
    except Exception as error:  # the exceptions differ between kinds of models
        found = _first_line(error)
        raise UserError(
            f"expected a model that loads from {folder} and embeds text, found: {found}. Choose another model."
        ) from error
    if problem := _weights_problem(encoder, folder):
        raise UserError(problem)
    return encoder


def find_folder(model: HubEncoder) -> Path | None:
    """Return `model.path`, else the model's snapshot in the Hugging Face cache, None if it has none."""
    if model.path:
        return Path(model.path).expanduser()
    try:
        return Path(snapshot_download(model.name, revision=model.revision, local_files_only=True))
    except (OSError, ValueError):  # not in the cache, or not a valid name
        return None


def _hub_folder(model: HubEncoder) -> Path:
    cached = find_folder(model)
    if cached and _folder_problem(cached) is None:
        return cached
    revision = f" at revision {model.revision}" if model.revision else ""
    expected = f"expected {model.name}{revision} in the Hugging Face cache or on the Hub"
    advice = "set model.path=FOLDER to a copy of it, HF_HOME to a cache that contains it, or model=e5_small_ko."
    if not hub_reachable():
        raise UserError(f"{expected}, found it in no cache and the Hub unreachable: {advice}")
    try:
        return _download(model)
    except (OSError, ValueError) as error:
        raise UserError(f"{expected}, found: {_first_line(error)}. Check its name and revision, or {advice}") from error


def _download(model: HubEncoder) -> Path:
    """Return the folder of the downloaded model; pickles are downloaded only if there are no safetensors."""
    for patterns in (ALLOW_PATTERNS, [*ALLOW_PATTERNS, *PICKLES]):
        folder = Path(
            snapshot_download(
                model.name, revision=model.revision, allow_patterns=patterns, ignore_patterns=IGNORE_PATTERNS
            )
        )
        if _folder_problem(folder) is None:
            break
    return folder


def _folder_problem(folder: Path) -> str | None:
    """Return an error message about a missing file, None if the folder has all required files."""
    inner = folder / _transformer_subfolder(folder)
    if not (inner / "config.json").is_file():
        return f"expected config.json in {inner}, found none: set model.path to a folder with a complete model."
    if not any(inner.glob("*.safetensors")):
        if any(path for pattern in PICKLES for path in inner.glob(pattern)):
            convert = f"cd {shlex.quote(str(inner))} && {CONVERT}"
            return f"expected weights as safetensors in {inner}, found only a pickle: convert it with `{convert}`."
        return f"expected *.safetensors in {inner}, found none: set model.path to a folder with a complete model."
    if not any(path for pattern in TOKENIZERS for path in inner.glob(pattern)):
        return f"expected a tokenizer in {inner}, found none of {list(TOKENIZERS)}: add the model's tokenizer files."
    return None


def _weights_problem(encoder: SentenceTransformer, folder: Path) -> str | None:
    """Return an error message about missing or non-finite weights, None if there are none.

    transformers only warns if weights are missing from the file, and initialises them at random.
    """
    weights = {name: weight for name, weight in encoder[0].model.named_parameters() if "pooler" not in name}
    given: set[str] = set()
    for file in (folder / _transformer_subfolder(folder)).glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            given |= set(opened.keys())
    missing = [name for name in weights if not any(name.endswith(key) or key.endswith(name) for key in given)]
    # older files name some weights differently, so that a minority may seem missing
    if len(missing) > len(weights) / 2:
        return (
            f"expected the weights of the model that config.json in {folder} describes, found {len(missing)} of"
            f" {len(weights)} weights missing, such as {missing[0]}: set model.path to a folder with a complete model."
        )
    if not get_total_norm(weights.values(), math.inf).isfinite():
        return f"expected finite weights in {folder}, found NaN or Inf: choose another model."
    return None


def _transformer_subfolder(folder: Path) -> str:
    """Return the subfolder of the first module of a sentence-transformers model, empty if it is the folder itself."""
    try:
        return str(json.loads((folder / "modules.json").read_text("utf-8"))[0]["path"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
