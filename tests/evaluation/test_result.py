"""The result of a run is written and read by one class."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.evaluation.metrics import NDCG, PEARSON, SPEARMAN, metrics_of
from src.evaluation.result import RESULT_FILE, Result, SeedSummary
from src.evaluation.statistics import Estimate
from src.utils.errors import UserError

KEYS = """
experiment run_id model_version data_source data_note train_pairs dev_pairs evaluated_on evaluated_pairs
spearman_ceiling base_model spearman_cosine spearman_cosine_low spearman_cosine_high pearson_cosine pearson_cosine_low
pearson_cosine_high spearman_cosine_before spearman_cosine_before_low spearman_cosine_before_high validation_loss steps
warmup_steps precision threads device startup_seconds train_seconds evaluation_seconds pairs_per_second peak_memory_mb
spearman_cosine_gain spearman_cosine_gain_low spearman_cosine_gain_high shape evaluated_digest metrics
"""
EARLIER = """
experiment run_id model_version data_source data_note train_pairs dev_pairs evaluated_on evaluated_pairs
spearman_ceiling base_model spearman_cosine spearman_cosine_low spearman_cosine_high pearson_cosine pearson_cosine_low
pearson_cosine_high spearman_cosine_before validation_loss steps warmup_steps precision threads device startup_seconds
train_seconds evaluation_seconds pairs_per_second peak_memory_mb
"""
"""Keys of a file written before there were other shapes than scored pairs."""
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
    scores = {SPEARMAN: Estimate(0.7, 0.1 + 0.2, 0.9), PEARSON: Estimate(2 / 3, 0.5, 0.75)}
    return make_result(scores=scores, gain=Estimate(0.2, 0.1, 0.3))


@pytest.fixture
def mixed(make_result: Callable[..., Result]) -> Result:
    names = [metric.name for metric in metrics_of("triplets", (64,))]
    scores = {name: Estimate(0.7, 0.6, 0.8) for name in [*names, f"sts/{SPEARMAN}", "faq/cosine_ap_dim_64"]}
    return make_result(shape="triplets", scores=scores, spearman_ceiling=None, gain=Estimate(0.1, 0.05, 0.15))


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


def test_a_result_of_a_mixture_comes_back(mixed: Result, tmp_path: Path) -> None:
    mixed.save(tmp_path)
    assert Result.load(tmp_path) == mixed
    assert mixed.metric.name == NDCG
    assert mixed.leading == mixed.scores[NDCG]
    written = json.loads((tmp_path / RESULT_FILE).read_text(encoding="utf-8"))
    assert written[f"{NDCG}_before"] == mixed.before.value
    assert written[f"{NDCG}_gain_low"] == 0.05
    assert {name.partition("/")[0] for name in mixed.reported} & {"sts", "faq"} == set()


@pytest.mark.parametrize("gain", [None, Estimate(0.01, -0.01, 0.03)])
def test_a_summary_of_seeds_of_a_mixture_comes_back(gain: Estimate | None, mixed: Result, tmp_path: Path) -> None:
    means = dict.fromkeys(mixed.scores, Estimate(0.5, 0.4, 0.6))
    summary = SeedSummary("parent", "1 2", means, dict.fromkeys(means, 0.1), gain)
    with_seeds = Result(**{**vars(mixed), "seeds": summary})
    with_seeds.save(tmp_path)
    assert Result.load(tmp_path) == with_seeds


def test_a_file_of_an_earlier_version_is_read_and_written_without_what_it_does_not_know(
    result: Result, tmp_path: Path
) -> None:
    values = {key: value for key, value in result.to_dict().items() if key in EARLIER.split()}
    (tmp_path / RESULT_FILE).write_text(json.dumps(values))
    found = Result.load(tmp_path)
    assert found.scores == result.scores
    assert (found.shape, found.gain, found.before.value, str(found.before)) == ("scored", None, 0.5, "0.5000")
    found.save(tmp_path)
    added = {"shape": "scored", "metrics": f"{SPEARMAN} {PEARSON}", "evaluated_digest": ""}
    assert json.loads((tmp_path / RESULT_FILE).read_text(encoding="utf-8")) == values | added


def test_a_metric_that_is_not_defined_is_null_and_comes_back(
    make_result: Callable[..., Result], tmp_path: Path
) -> None:
    name = f"{SPEARMAN}_dim_1"
    scores = {SPEARMAN: Estimate(0.7, 0.6, 0.8), PEARSON: Estimate(0.7, 0.6, 0.8), name: Estimate(*[float("nan")] * 3)}
    make_result(scores=scores).save(tmp_path)
    assert json.loads((tmp_path / RESULT_FILE).read_text("utf-8"), parse_constant=pytest.fail)[name] is None
    found = Result.load(tmp_path).scores
    assert str(found[name]) == "nan" and found[SPEARMAN] == scores[SPEARMAN]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"expected a finished run, found no metrics\.json: train it first"),
        ("", r"metrics\.json: expected a result, found .*: train it again"),
        ("[]", r"metrics\.json: expected a result, found .*: train it again"),
        ({"spearman_cosine_low": "low"}, r"metrics\.json: expected a result, found .*: train it again"),
        ({"steps": ...}, r"metrics\.json: expected the key 'steps', found none: train it again"),
        ({"shape": "quartets"}, r"expected a result, found the shape 'quartets', which is none of scored.*: train it"),
        ({"shape": ["scored"]}, r"expected a result, found .*: train it again"),
        ({"metrics": f"{SPEARMAN} {NDCG}"}, r"found 'cosine_ndcg_at_10', which is no metric of scored examples: train"),
        ({"metrics": f"{SPEARMAN} sts/x"}, r"found 'sts/x', which is no metric of scored or .* examples: train it"),
        ({"metrics": PEARSON}, r"found 'pearson_cosine' as the leading metric of scored examples: train it again"),
        ({"metrics": ""}, r"expected a result, found '', which is no metric of scored examples: train it again"),
        ({"metrics": 3}, r"expected a result, found .*: train it again"),
        ({"metrics": f"{SPEARMAN} {SPEARMAN}_dim_64"}, r"expected the key 'spearman_cosine_dim_64', found none: train"),
        ({"shape": "triplets"}, r"found 'spearman_cosine', which is no metric of triplets examples: train it again"),
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
    assert str(result.leading) == "0.7000 [0.3000, 0.9000]"
