"""The benchmark's arithmetic."""

import pytest

from src.benchmark.speed import OURS, VARIANTS, Work, difference, summarise, to_markdown
from src.config.bench import RIVALS


def metrics(train_seconds: float, steps: int = 10, **others: float) -> dict[str, object]:
    return {
        "train_seconds": train_seconds,
        "evaluation_seconds": 1.0,
        "steps": steps,
        "pairs_per_second": steps * 16 / train_seconds,
        "peak_memory_mb": 1000.0,
        "precision": "fp32",
        "spearman_cosine": 0.88,
        "spearman_cosine_low": 0.85,
        "spearman_cosine_high": 0.9,
        **others,
    }


ROUNDS = [
    {OURS: metrics(4.0), "stock_fp32": metrics(14.0), "stock_bf16": metrics(9.0)},
    {OURS: metrics(9.0), "stock_fp32": metrics(19.0), "stock_bf16": metrics(9.0)},
    {OURS: metrics(4.0), "stock_fp32": metrics(19.0), "stock_bf16": metrics(19.0, steps=20)},
]
WORK = Work(tokens_per_pair=30.0, flops_per_token=1e8, peak_flops=4e11, evaluation_interval=10)


def test_ratios_pair_ours_with_the_rival_of_the_same_round_and_take_the_median() -> None:
    table = summarise(ROUNDS, WORK)
    assert table["ratios"]["stock_fp32"] == pytest.approx([3.0, 2.0, 4.0])
    assert table["ratio_vs_stock_fp32"] == pytest.approx(3.0)


def test_a_rival_that_ran_more_steps_is_compared_by_the_step() -> None:
    assert summarise(ROUNDS, WORK)["ratios"]["stock_bf16"] == pytest.approx([2.0, 1.0, 2.0])


def test_tokens_and_share_of_the_peak_follow_from_the_pairs_a_second() -> None:
    ours = summarise(ROUNDS, WORK)["variants"][OURS]
    assert ours["pairs_per_second"]["median"] == pytest.approx(40.0)
    assert ours["tokens_per_second"]["median"] == pytest.approx(1200.0)
    assert ours["share_of_bf16_peak"] == pytest.approx(0.3)
    assert ours["train_seconds"] == {"median": 4.0, "min": 4.0, "max": 9.0}


def test_the_markdown_has_a_row_for_each_variant_with_its_ratio() -> None:
    text = to_markdown(summarise(ROUNDS, WORK))
    assert text.count("\n| ") == 3
    assert "3.00 times as fast" in text
    assert "stock fp32 0.8800, ours minus it +0.0000" in text


def test_the_spearman_of_a_rival_that_ran_other_steps_is_not_compared() -> None:
    assert list(summarise(ROUNDS, WORK)["spearman_differences"]) == ["stock_fp32"]


def test_every_rival_of_the_config_has_its_overrides() -> None:
    assert {OURS, *RIVALS} == VARIANTS.keys()


def test_the_difference_in_spearman_is_that_of_the_seeds_with_its_interval() -> None:
    pairs = [(0.86, 0.87), (0.88, 0.88), (0.87, 0.89)]
    rounds = [
        {OURS: metrics(1.0, spearman_cosine=own), "stock_fp32": metrics(1.0, spearman_cosine=other)}
        for own, other in pairs
    ]
    # mean -0.01, standard deviation 0.01, and 4.303 is the 97.5 % quantile of t with two degrees of freedom
    reach = 4.303 * 0.01 / 3**0.5
    assert difference(rounds, "stock_fp32") == pytest.approx(
        {"mean": -0.01, "low": -0.01 - reach, "high": -0.01 + reach}, abs=1e-5
    )
    assert difference(rounds[:1], "stock_fp32") == pytest.approx({"mean": -0.01})
