"""The benchmark of large evaluation sets: its parts, and its output."""

from functools import partial

import pytest

from src.benchmark import scale
from src.benchmark.scale import Cost, parser, parts, ranking, run, search
from src.cli import parser_command

SMALL = {"pairs": 60, "queries": 40, "dim": 8, "searched": 10}
PARTS = parts(**SMALL)


@pytest.mark.parametrize("name", PARTS)
def test_every_part_has_a_cost_and_an_outcome(name: str) -> None:
    cost = PARTS[name]()
    assert min(cost.seconds, cost.peak_mb) > 0
    assert "nan" not in cost.outcome


def test_ranking_and_search_find_the_same_answers() -> None:
    found = ranking(200, 8)()
    assert not found.startswith(("0.00%", "100.00%"))
    assert search(200, 8, 200)().startswith(found)


def test_costs_from_new_processes_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scale, "parts", lambda *_: {"ranking": partial(Cost, 1234.56, 700.4, "well")})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # restored afterwards
    parser_command(run, parser())([])
    assert "1,234.6 s, 700 MB, well" in capsys.readouterr().out
