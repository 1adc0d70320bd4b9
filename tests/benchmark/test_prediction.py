"""The benchmark of predictions: its pairs and its output."""

from pathlib import Path

import pytest

from src.benchmark.prediction import distinct_pairs, matched_pairs, parser, run
from src.cli import parser_command


def test_every_profile_is_paired_with_every_posting() -> None:
    pairs = matched_pairs(1000).to_pylist()
    assert len({tuple(pair.values()) for pair in pairs}) == 1000
    assert [len({pair[name] for pair in pairs}) for name in ("sentence1", "sentence2")] == [5, 200]


def test_distinct_pairs_have_no_repeated_sentence() -> None:
    pairs = distinct_pairs(5000)
    assert len({text for column in pairs.columns for text in column.to_pylist()}) == 10_000


def test_both_times_and_the_memory_are_printed(tiny_encoder_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser_command(run, parser())([str(tiny_encoder_folder), "--pairs", "400", "--plain", "10"])
    shown = capsys.readouterr().out
    assert "400 project_match pairs" in shown
    assert all(words in shown for words in ("202", "peak memory", "MiB", "extrapolated from 10 pairs"))
