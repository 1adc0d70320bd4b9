"""What an encoder does not see of texts: tokens beyond its length, and characters that its tokenizer does not know."""

from collections.abc import Sequence
from typing import Any

from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from src.encoder.inputs import position_limit, token_ids, token_limit
from src.encoder.prompts import default_prompt

MUCH = 0.3
"""Share of a text's characters from which it counts as unknown."""
NOTHING_KNOWN = 0.8
"""Mean share of unknown characters from which a set of texts cannot be learnt from."""
PRIVATE = "\U0010fffd"
"""A character for private use, which no vocabulary has."""
EXAMPLE = 40
"""Characters shown of an example."""


class TextCoverage:
    """Tokenizer of texts, with a prompt before each, that counts the cut and the unknown ones.

    A text without an unknown token costs two counts more than its token ids.
    """

    def __init__(self, encoder: SentenceTransformer) -> None:
        self.tokenizer: Any = encoder.tokenizer
        self.default_prompt = default_prompt(encoder)
        self.limit = token_limit(encoder)
        """Number of tokens at which a text is cut; None: it is not."""
        self.positions = position_limit(encoder)
        self.backend = _backend(self.tokenizer)
        self.unknown_id = None if self.backend is None else _unknown_id(self.backend)
        self.texts = 0
        self.cut = 0
        """Number of texts longer than the limit."""
        self.longest = 0
        """Tokens of the longest text."""
        self.unknown = 0
        """Number of texts of which at least `MUCH` is unknown."""
        self.unknown_share = 0.0
        """Sum of the unknown shares of the texts' characters."""
        self.example = ""
        """The first of the unknown texts."""

    def __call__(self, texts: Sequence[str], prompt: str | None = None) -> list[list[int]]:
        """Return the token ids of each text, uncut, and count it; `prompt`: None stands for the default one."""
        ids = token_ids(self.tokenizer, self._prompted(texts, prompt))
        lengths = [len(tokens) for tokens in ids]
        self.texts += len(ids)
        self.longest = max(self.longest, *lengths, 0)
        if self.limit is not None:
            self.cut += sum(length > self.limit for length in lengths)
        if self.unknown_id is not None:
            self._count_unknown([text for text, tokens in zip(texts, ids, strict=True) if self.unknown_id in tokens])
        return ids

    def cut_ids(self, texts: Sequence[str], prompt: str | None = None) -> list[list[int]]:
        """Return the token ids of each text, cut as the encoder cuts them, and count it."""
        ids = self(texts, prompt)
        long = [index for index, tokens in enumerate(ids) if self.limit is not None and len(tokens) > self.limit]
        if long:  # only the tokenizer knows which special tokens a cut text ends with
            prompted = self._prompted([texts[index] for index in long], prompt)
            shorter = token_ids(self.tokenizer, prompted, self.limit)
            for index, tokens in zip(long, shorter, strict=True):
                ids[index] = tokens
        return ids

    def _prompted(self, texts: Sequence[str], prompt: str | None) -> list[str]:
        first = self.default_prompt if prompt is None else prompt
        return [first + text for text in texts]

    def _count_unknown(self, texts: list[str]) -> None:
        """Count the texts among these with at least one unknown token, by the characters that such tokens stand for."""
        if not texts or self.backend is None:
            return
        for text, encoding in zip(texts, self.backend.encode_batch(texts, add_special_tokens=False), strict=True):
            spans = [
                span for span, token in zip(encoding.offsets, encoding.ids, strict=True) if token == self.unknown_id
            ]
            lost = sum(len("".join(text[start:end].split())) for start, end in spans)
            share = lost / max(1, len("".join(text.split())))
            self.unknown_share += share
            if share >= MUCH:
                self.unknown += 1
                self.example = self.example or text

    @property
    def nothing_known(self) -> bool:
        """Whether the tokenizer knows next to nothing of the texts."""
        return self.texts > 0 and self.unknown_share / self.texts >= NOTHING_KNOWN

    def remarks(self, name: str) -> list[str]:
        """Return a sentence on the cut and one on the unknown texts of the set `name`, if there are any."""
        return [*self._remark_on_cut(name), *self._remark_on_unknown(name)]

    def _remark_on_cut(self, name: str) -> list[str]:
        if not self.cut:
            return []
        more = f", and this model takes up to {self.positions:,}" if self.positions else ""
        at_most = self.positions is not None and self.limit is not None and self.limit >= self.positions
        advice = "this model takes no more" if at_most else f"model.max_length sets the length in training{more}"
        return [
            f"{name}: {self._share(self.cut)} are longer than {self.limit:,} tokens and cut there, the longest has"
            f" {self.longest:,}; {advice}"
        ]

    def _remark_on_unknown(self, name: str) -> list[str]:
        if not self.unknown:
            return []
        return [
            f"{name}: the tokenizer does not know {MUCH:.0%} or more of {self._share(self.unknown)}, such as"
            f" {self.advice}"
        ]

    @property
    def advice(self) -> str:
        """The example of an unknown text, and what to do."""
        shown = self.example if len(self.example) <= EXAMPLE else f"{self.example[: EXAMPLE - 1]}…"
        return (
            f"{shown!r}: train with model.vocabulary=full (e5_small_ko), or check the tokenizer's files of another"
            " model, such as do_lower_case in tokenizer_config.json"
        )

    def _share(self, count: int) -> str:
        share = count / self.texts
        return f"{count:,} of {self.texts:,} texts ({share:.1%})"


def _backend(tokenizer: Any) -> Tokenizer | None:
    found = tokenizer if isinstance(tokenizer, Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
    return found if isinstance(found, Tokenizer) else None


def _unknown_id(backend: Tokenizer) -> int | None:
    """Return the id that stands for what the tokenizer does not know, None if it knows every byte."""
    try:
        found = backend.model.tokenize(PRIVATE)
    except Exception:  # a vocabulary without the token that its tokenizer names; embedding such a text fails too
        return None
    return found[0].id if len(found) == 1 else None
