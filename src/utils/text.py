"""Texts and values from outside made safe for the terminal, Markdown and JSON, and sections of Markdown."""

import json
import re
from math import isfinite
from typing import Any

UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except newline and tab, line separators, direction overrides (Boucher & Anderson, 2021) and lone
surrogates. Joiners and other invisible characters stay: emoji and several scripts need them, and they move nothing."""
MARKDOWN = re.compile(r"[\\`*\[\]<>|&$]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that Markdown or HTML interpret within a line; an underscore does nothing inside a word."""


def visible(text: str) -> str:
    r"""Return the text with the characters in `UNSAFE` as visible escapes, such as \x1b."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def escape_markdown(text: str) -> str:
    """Return the text on one line, so that Markdown and HTML in it are shown and not interpreted."""
    return MARKDOWN.sub(r"\\\g<0>", " ".join(visible(text).split()))


def to_json(value: Any, **options: Any) -> str:
    """Return a value as JSON, with null for NaN and infinities, which JSON does not have; `options` of `json.dumps`."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, **options)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def replace_section(text: str, section: str, marks: tuple[str, str], before: str) -> str:
    """Return Markdown with a section in place of a former one, else before a heading, else at the end.

    `marks`: the lines with which the section, also a former one, starts and ends.
    """
    start, end = marks
    above, found, rest = text.partition(start)
    if found and end in rest:
        return f"{above}{section}{rest.partition(end)[2]}"
    above, heading, below = text.partition(before)
    return f"{above.rstrip()}\n\n{section}\n{heading}{below}"
