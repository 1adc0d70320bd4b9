"""Texts from outside: nothing in them reaches the terminal as a command, or a page as markup."""

import json
from math import inf, nan

import pytest

from src.utils.text import escape_markdown, to_json, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("방\x1b]52;c;cm0=\x07", r"방\x1b]52;c;cm0=\x07"),
        ("a\rb\x08\x7f", r"a\rb\x08\x7f"),
        ("\x9b2J\x85", r"\x9b2J\x85"),
        ("a\u202eb\u2066c\u2069", r"a\u202eb\u2066c\u2069"),
        ("\ud800\u2028", r"\ud800\u2028"),
        ("한글\t\n👨‍👩‍👧 café", "한글\t\n👨‍👩‍👧 café"),
    ],
)
def test_only_characters_that_command_a_terminal_are_changed(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("review_sts: e5_small_ko", "review_sts: e5_small_ko"),
        ("<img src=x>|`a`", r"\<img src=x\>\|\`a\`"),
        ("[x](javascript:1) *b* _c_ $d$ &lt;", r"\[x\](javascript:1) \*b\* \_c\_ \$d\$ \&lt;"),
        ("one\n# two\x1b", r"one # two\\x1b"),
    ],
)
def test_markup_in_a_text_is_shown_on_one_line(text: str, shown: str) -> None:
    assert escape_markdown(text) == shown


def test_numbers_that_json_lacks_are_null_at_any_depth() -> None:
    values = {"a": nan, "b": [1.5, -inf, {"c": inf}], "d": "방"}
    text = to_json(values)
    assert json.loads(text) == {"a": None, "b": [1.5, None, {"c": None}], "d": "방"}
    assert "방" in text
