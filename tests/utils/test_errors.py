"""What an error says, put into a sentence."""

import pytest

from src.utils.errors import shorten


@pytest.mark.parametrize(
    ("text", "expected"),
    [("no such file.", "no such file"), ("one\n  two\tthree", "one two three"), ("a" * 12, "aaaaaaaaa…"), ("", "")],
)
def test_it_is_one_line_without_a_full_stop_and_not_too_long(text: str, expected: str) -> None:
    assert shorten(ValueError(text), 10 if len(text) == 12 else 200) == expected
