"""What is printed is what was given."""

import pytest

from src.report.console import console, print_table


def test_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("reviews [bold]", {"data [v2]": "pairs[v2].csv"})
    console.print("pairs[v3].csv")
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("reviews [bold]", "data [v2]", "pairs[v2].csv", "pairs[v3].csv"))
