"""Encoders from the Hugging Face Hub or a folder, checked: safetensors only, no missing or non-finite weights."""

import math
from pathlib import Path

from huggingface_hub import snapshot_download
from safetensors import safe_open
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch.nn.utils import get_total_norm
from transformers import PreTrainedTokenizerBase

from src.config.model import HubEncoder
from src.encoder.folder import PICKLES, check_folder, modules_of
from src.encoder.prompts import load_column_prompts
from src.utils.environment import hub_reachable
from src.utils.errors import UserError
from src.utils.files import path_of

ALLOW_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
IGNORE_PATTERNS = ["onnx/*", "openvino/*"]


def load_hub(model: HubEncoder) -> SentenceTransformer:
    """Return a sentence-transformers model, or a plain transformers model with mean pooling added.

    It is loaded from the folder `model.path` if set, else from the Hugging Face cache, else from the Hub.

    Raises `UserError` if the folder is incomplete, the Hub is unreachable or lacks the model, or the model has only
    pickled weights or requires code of its own.
    """
    model.check_path()
    folder = path_of(model.path) if model.path else _hub_folder(model)
    check_folder(folder)
    try:
        encoder = SentenceTransformer(
            str(folder),
            device="cpu",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
        if problem := _table_problem(encoder, folder):
            raise UserError(problem)
        load_column_prompts(encoder, folder)
        encoder.encode("가", show_progress_bar=False)
    except UserError:
        raise
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
        return path_of(model.path)
    try:
        return Path(snapshot_download(model.name, revision=model.revision, local_files_only=True))
    except (OSError, ValueError):  # not in the cache, or not a valid name
        return None


def _hub_folder(model: HubEncoder) -> Path:
    cached = find_folder(model)
    if cached and _is_usable(cached):
        return cached
    revision = f" at revision {model.revision}" if model.revision else ""
    expected = f"expected {model.name}{revision} in the Hugging Face cache or on the Hub"
    advice = "set model.path=FOLDER to a copy of it, HF_HOME to a cache that contains it, or model=e5_small_ko."
    if not hub_reachable():
        if cached:
            check_folder(cached)
        raise UserError(f"{expected}, found it in no cache and the Hub unreachable: {advice}")
    try:
        return _download(model)
    except (OSError, ValueError) as error:
        raise UserError(f"{expected}, found: {_first_line(error)}. Check its name and revision, or {advice}") from error


def _download(model: HubEncoder) -> Path:
    """Return the folder of the downloaded model; pickles are downloaded only if there are no safetensors."""
    for patterns in (ALLOW_PATTERNS, [*ALLOW_PATTERNS, *(f"*{pattern}" for pattern in PICKLES)]):
        folder = Path(
            snapshot_download(
                model.name, revision=model.revision, allow_patterns=patterns, ignore_patterns=IGNORE_PATTERNS
            )
        )
        if _is_usable(folder):
            break
    return folder


def _is_usable(folder: Path) -> bool:
    try:
        check_folder(folder)
    except UserError:
        return False
    return True


def _weights_problem(encoder: SentenceTransformer, folder: Path) -> str | None:
    """Return an error message about missing or non-finite weights, None if there are none.

    transformers only warns if weights are missing from the file, and initialises them at random.
    """
    if not get_total_norm(
        (weight for name, weight in encoder.named_parameters() if "pooler" not in name), math.inf
    ).isfinite():
        return f"expected finite weights in {folder}, found NaN or Inf: choose another model."
    transformer = encoder[0].model if isinstance(encoder[0], Transformer) else None
    if transformer is None:  # the library refuses a module that lacks weights
        return None
    weights = [name for name, _ in transformer.named_parameters() if "pooler" not in name]
    given: set[str] = set()
    for file in modules_of(folder)[0].path.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            given |= set(opened.keys())
    missing = [name for name in weights if not any(name.endswith(key) or key.endswith(name) for key in given)]
    # older files name some weights differently, so that a minority may seem missing
    if len(missing) > len(weights) / 2:
        return (
            f"expected the weights of the model that config.json in {folder} describes, found {len(missing)} of"
            f" {len(weights)} weights missing, such as {missing[0]}: set model.path to a folder with a complete model."
        )
    return None


def _table_problem(encoder: SentenceTransformer, folder: Path) -> str | None:
    """Return an error message about token ids without a row in the embedding table, None if there are none."""
    for module in encoder.modules():
        if isinstance(module, Transformer) and isinstance(module.tokenizer, PreTrainedTokenizerBase):
            text_model = getattr(module.model, "text_model", module.model)  # of CLIP and its relatives
            tokens, rows = len(module.tokenizer), getattr(text_model.get_input_embeddings(), "num_embeddings", None)
        elif isinstance(module, StaticEmbedding):
            tokens, rows = module.tokenizer.get_vocab_size(), module.num_embeddings
        else:
            continue
        if rows is not None and tokens > rows:
            return (
                f"expected at most as many tokens in the tokenizer as rows in the embedding table in {folder}, found"
                f" {tokens:,} tokens and {rows:,} rows: use the tokenizer that the model was trained with."
            )
    return None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
