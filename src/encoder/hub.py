"""Encoders from the Hugging Face Hub or from a folder."""

import json
import math
import shlex
from pathlib import Path

from huggingface_hub import snapshot_download
from safetensors import safe_open
from sentence_transformers import SentenceTransformer
from torch.nn.utils import get_total_norm

from src.config.model import HubEncoder
from src.errors import UserError
from src.hub import hub_reachable

WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
UNWANTED = ["onnx/*", "openvino/*"]
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
CONVERT = (
    'python -c "import torch, safetensors.torch as s; '
    "w = torch.load('pytorch_model.bin', 'cpu', weights_only=True); "
    "s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors', {'format': 'pt'})\""
)


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
    if problem := weights_problem(encoder, folder / _first_module(folder)):
        raise UserError(problem)
    return encoder


def weights_problem(encoder: SentenceTransformer, folder: Path) -> str | None:
    """Return in one sentence why the weights are not those of the model, or None if they are.

    transformers only warns of weights that the file lacks, and draws them at random.
    """
    weights = {name: weight for name, weight in encoder[0].model.named_parameters() if "pooler" not in name}
    given: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            given |= set(opened.keys())
    missing = [name for name in weights if not any(name.endswith(key) or key.endswith(name) for key in given)]
    # some are named otherwise in older files
    if len(missing) > len(weights) / 2:
        return (
            f"expected the weights of the model that config.json in {folder} describes, found {len(missing)} of"
            f" {len(weights)} missing, such as {missing[0]}: set model.path to a folder with a whole model."
        )
    if not get_total_norm(weights.values(), math.inf).isfinite():
        return f"expected finite weights in {folder}, found some that are no numbers: choose another model."
    return None


def folder_problem(folder: Path) -> str | None:
    """Return in one sentence why the folder holds no loadable model, or None if it looks loadable."""
    inner = folder / _first_module(folder)
    if not (inner / "config.json").is_file():
        return f"expected config.json in {inner}, found none: set model.path to a folder with a whole model."
    if not any(inner.glob("*.safetensors")):
        if any(path for pattern in PICKLES for path in inner.glob(pattern)):
            convert = f"cd {shlex.quote(str(inner))} && {CONVERT}"
            return f"expected weights as safetensors in {inner}, found only a pickle: convert it with `{convert}`."
        return f"expected *.safetensors in {inner}, found none: set model.path to a folder with a whole model."
    if not any(path for pattern in TOKENIZERS for path in inner.glob(pattern)):
        return f"expected a tokenizer in {inner}, found none of {list(TOKENIZERS)}: add the model's tokenizer files."
    return None


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


def _first_module(folder: Path) -> str:
    """Return the subfolder that a sentence-transformers model keeps its transformer in; empty: the folder itself."""
    try:
        return str(json.loads((folder / "modules.json").read_text("utf-8"))[0]["path"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
