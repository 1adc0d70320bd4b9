"""The benchmark of predictions: what it scores, and what it prints."""

from pathlib import Path

import pytest

from src.prediction.benchmark import distinct_pairs, main, matched_pairs


def test_every_profile_meets_every_posting() -> None:
    pairs = matched_pairs(1000).to_pylist()
    assert len({tuple(pair.values()) for pair in pairs}) == 1000
    assert [len({pair[name] for pair in pairs}) for name in ("sentence1", "sentence2")] == [5, 200]


def test_no_sentence_comes_twice_in_distinct_pairs() -> None:
    pairs = distinct_pairs(5000)
    assert len({text for column in pairs.columns for text in column.to_pylist()}) == 10_000


def test_both_times_and_the_memory_are_printed(tiny_encoder_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(str(tiny_encoder_folder), pairs=400, plain=10, distinct=False, precision="fp32")
    shown = capsys.readouterr().out
    assert "400 project_match pairs" in shown
    assert all(words in shown for words in ("202", "peak memory", "MiB", "reckoned from 10 pairs"))
