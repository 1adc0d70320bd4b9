"""Prompts of an encoder: which text goes before the texts of a column, and their place in a model folder."""

import json
from pathlib import Path

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from src.config.model import NEGATIVE, TEXT_COLUMNS, EmbeddedEncoder, HubEncoder
from src.utils.errors import UserError, shorten

CONFIG = "config_sentence_transformers.json"
"""File of a model folder with its prompts; the library ignores keys that it does not know."""
COLUMN_PROMPTS = "column_prompts"
"""Attribute of an encoder, and key of `CONFIG`: the name of the prompt of each column that has one of its own."""
ROLES = {"anchor": ("query",), "positive": ("document", "passage", "corpus")}
"""Prompts that the library's `encode_query` and `encode_document` look for, in this order."""


def prompt_for(encoder: SentenceTransformer, column: str) -> str:
    """Return the text before every text of a column: its own prompt, else that of its role, else the default prompt.

    Negatives without a prompt of their own have that of positives.
    """
    column = NEGATIVE if column.startswith(NEGATIVE) else column
    if name := column_prompts(encoder).get(column):
        return str(encoder.prompts[name])
    if column == NEGATIVE:
        return prompt_for(encoder, "positive")
    of_role = (encoder.prompts.get(name) for name in ROLES.get(column, ()))
    return next(filter(None, of_role), None) or default_prompt(encoder)


def unpooled_for(encoder: SentenceTransformer, column: str) -> int:
    """Return the number of tokens at the start of a column's texts that pooling leaves out: those of its prompt."""
    return unpooled_with(encoder, prompt_for(encoder, column))


def unpooled_with(encoder: SentenceTransformer, prompt: str) -> int:
    """Return the number of tokens at the start of texts with this prompt that pooling leaves out."""
    first = encoder[0]
    leaves_out = any(isinstance(module, Pooling) and not module.include_prompt for module in encoder)
    return (first._get_prompt_length(prompt) or 0) if prompt and leaves_out and isinstance(first, Transformer) else 0


def default_prompt(encoder: SentenceTransformer) -> str:
    """Return the text that `encoder.encode` puts before every text, empty if there is none."""
    name = encoder.default_prompt_name
    return (encoder.prompts.get(name) or "") if name else ""


def column_prompts(encoder: SentenceTransformer) -> dict[str, str]:
    """Return the name of the prompt of each column that has one of its own."""
    return dict(getattr(encoder, COLUMN_PROMPTS, {}))


def apply_prompts(encoder: SentenceTransformer, model: EmbeddedEncoder | HubEncoder) -> None:
    """Add the configured prompts to the encoder's own, and give `encode_query` and `encode_document` those in use.

    Raises `UserError` if the default prompt or that of a column has a name without a prompt.
    """
    for role, *others in ROLES.values():
        if model.prompts.keys() & others:
            encoder.prompts[role] = ""  # else the encoder's own one would come before the configured one
    encoder.prompts |= model.prompts
    encoder.default_prompt_name = model.default_prompt_name or encoder.default_prompt_name
    # a prompt that is configured as empty is one, and not the default prompt
    empty = {column: name for column, names in ROLES.items() for name in names if model.prompts.get(name) == ""}
    vars(encoder)[COLUMN_PROMPTS] = empty | column_prompts(encoder) | model.column_prompts
    _check_names(encoder)
    used = {encoder.default_prompt_name, *column_prompts(encoder).values()}
    for column, (role, *_) in ROLES.items():
        if role not in used and not model.prompts.get(role):
            # `encode_document` takes the prompt `document`, which every encoder has, before any other, even if empty
            encoder.prompts[role] = prompt_for(encoder, column)


def _check_names(encoder: SentenceTransformer) -> None:
    names = {"model.default_prompt_name": encoder.default_prompt_name}
    names |= {f"model.column_prompts.{column}": name for column, name in column_prompts(encoder).items()}
    for key, name in names.items():
        if name is not None and name not in encoder.prompts:
            raise UserError(
                f"{key} must be the name of a prompt, one of {sorted(encoder.prompts)}, found {name!r}: correct it or"
                f" set model.prompts={{{name}: TEXT}}."
            )


def load_column_prompts(encoder: SentenceTransformer, folder: Path) -> None:
    """Give the encoder, loaded from this folder, the prompts of columns that it was saved with.

    Raises `UserError` unless every prompt is a text, and every column a known one with the name of a prompt.
    """
    path = folder / CONFIG
    found = json.loads(path.read_text("utf-8")).get(COLUMN_PROMPTS, {}) if path.is_file() else {}
    if not all(isinstance(text, str) for text in encoder.prompts.values()):
        raise UserError(
            f"{path}: expected prompts that are texts, found {shorten(encoder.prompts)}: correct or remove them."
        )
    if not isinstance(found, dict) or not all(
        column in TEXT_COLUMNS and name in list(encoder.prompts) for column, name in found.items()
    ):
        raise UserError(
            f"{path}: expected under {COLUMN_PROMPTS} some of {list(TEXT_COLUMNS)}, each with one of"
            f" {sorted(encoder.prompts)}, found {shorten(found)}: correct or remove it."
        )
    vars(encoder)[COLUMN_PROMPTS] = found


def save_column_prompts(encoder: SentenceTransformer, folder: Path) -> None:
    """Add the prompts of columns, if there are any, to the folder in which the library has saved the encoder."""
    if found := column_prompts(encoder):
        path = folder / CONFIG
        settings = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps({**settings, COLUMN_PROMPTS: found}, indent=2, sort_keys=True), "utf-8")
