"""The result of a run is written and read by one class."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.evaluation.metrics import PEARSON, SPEARMAN
from src.evaluation.result import RESULT_FILE, Result, SeedSummary
from src.evaluation.statistics import Estimate
from src.utils.errors import UserError

KEYS = """
experiment run_id model_version data_source data_note train_pairs dev_pairs evaluated_on evaluated_pairs
spearman_ceiling base_model spearman_cosine spearman_cosine_low spearman_cosine_high pearson_cosine pearson_cosine_low
pearson_cosine_high spearman_cosine_before validation_loss steps warmup_steps precision threads device startup_seconds
train_seconds evaluation_seconds pairs_per_second peak_memory_mb
"""
SEED_KEYS = [
    "parent_run_id",
    "seeds",
    *(
        f"{name}_{end}"
        for name in ("spearman_cosine", "pearson_cosine")
        for end in ("mean", "mean_low", "mean_high", "deviation")
    ),
]


@pytest.fixture
def result(make_result: Callable[..., Result]) -> Result:
    return make_result(scores={SPEARMAN: Estimate(0.7, 0.1 + 0.2, 0.9), PEARSON: Estimate(2 / 3, 0.5, 0.75)})


@pytest.fixture
def summary() -> SeedSummary:
    means = {SPEARMAN: Estimate(0.71, 0.61, 0.81), PEARSON: Estimate(0.7, 0.6, 0.8)}
    return SeedSummary("parent", "42 43", means, {SPEARMAN: 0.01, PEARSON: 0.02})


def test_the_file_has_one_number_or_word_a_key_and_comes_back_to_the_last_digit(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    written = json.loads((tmp_path / RESULT_FILE).read_text(encoding="utf-8"))
    assert list(written) == KEYS.split()
    assert written["spearman_cosine_low"] == 0.1 + 0.2
    assert Result.load(tmp_path) == result


def test_a_summary_of_seeds_adds_its_keys(result: Result, summary: SeedSummary, tmp_path: Path) -> None:
    with_seeds = Result(**{**vars(result), "seeds": summary})
    with_seeds.save(tmp_path)
    assert list(json.loads((tmp_path / RESULT_FILE).read_text(encoding="utf-8"))) == [*KEYS.split(), *SEED_KEYS]
    assert Result.load(tmp_path) == with_seeds


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"expected a finished run, found no metrics\.json: train it first"),
        ("", r"metrics\.json: expected a result, found .*: train it again"),
        ("[]", r"metrics\.json: expected a result, found .*: train it again"),
        ({"spearman_cosine_low": None}, r"metrics\.json: expected a result, found .*: train it again"),
        ({"steps": ...}, r"metrics\.json: expected the key 'steps', found none: train it again"),
    ],
)
def test_a_missing_or_damaged_file_is_one_sentence(
    content: str | dict[str, Any] | None, sentence: str, result: Result, tmp_path: Path
) -> None:
    if isinstance(content, dict):
        values = {key: value for key, value in (result.to_dict() | content).items() if value is not ...}
        content = json.dumps(values)
    if content is not None:
        (tmp_path / RESULT_FILE).write_text(content)
    with pytest.raises(UserError, match=sentence):
        Result.load(tmp_path)


def test_an_estimate_reads_as_value_and_interval(result: Result) -> None:
    assert str(result.spearman) == "0.7000 [0.3000, 0.9000]"
