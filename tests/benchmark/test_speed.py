"""The comparison of trainers: variants, trainings, and the arithmetic of its table."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from src.benchmark import speed
from src.benchmark.speed import OURS, VARIANTS, Round, Workload, score_difference, summarize, to_markdown
from src.config import BenchSettings, Config
from src.config.commands import RIVALS, BenchConfig
from src.config.model import EmbeddedEncoder
from src.data import load_examples
from src.evaluation.metrics import NDCG, SPEARMAN
from src.evaluation.result import Result
from src.evaluation.statistics import Estimate
from src.training import precision
from src.utils.errors import UserError

Make = Callable[..., Result]
WORKLOAD = Workload(
    tokens_per_example=30.0, flops_per_token=1e8, peak_flops=4e11, peak_precision="bf16", eval_interval=10
)


@pytest.fixture
def make(make_result: Make) -> Make:
    """Make the result of a training of some duration and Spearman."""

    def made(train_seconds: float, steps: int = 10, spearman: float = 0.88) -> Result:
        values: dict[str, Any] = {
            "scores": {SPEARMAN: Estimate(spearman, 0.85, 0.9)},
            "evaluation_seconds": 1.0 + steps / 10,
        }
        speeds = {"pairs_per_second": steps * 16 / train_seconds, "peak_memory_mb": 1000.0}
        return make_result(train_seconds=train_seconds, steps=steps, **values, **speeds)

    return made


@pytest.fixture
def rounds(make: Make) -> list[Round]:
    return [
        {OURS: make(4.0), "stock_fp32": make(14.0), "stock_bf16": make(9.0)},
        {OURS: make(9.0), "stock_fp32": make(19.0), "stock_bf16": make(9.0)},
        {OURS: make(4.0), "stock_fp32": make(19.0), "stock_bf16": make(18.0, steps=20)},
    ]


def test_ratios_pair_ours_with_the_rival_of_the_same_round_and_take_the_median(rounds: list[Round]) -> None:
    table = summarize(rounds, WORKLOAD)
    assert table["ratios"]["stock_fp32"] == pytest.approx([3.0, 2.0, 4.0])
    assert table["ratio_vs_stock_fp32"] == pytest.approx(3.0)


def test_a_rival_of_more_steps_is_compared_by_the_step(rounds: list[Round]) -> None:
    assert summarize(rounds, WORKLOAD)["ratios"]["stock_bf16"] == pytest.approx([2.0, 1.0, 2.0])


def test_tokens_and_share_of_the_peak_follow_from_the_pairs_a_second(rounds: list[Round]) -> None:
    ours = summarize(rounds, WORKLOAD)["variants"][OURS]
    assert ours["pairs_per_second"]["median"] == pytest.approx(40.0)
    assert ours["tokens_per_second"]["median"] == pytest.approx(1200.0)
    assert ours["share_of_bf16_peak"] == pytest.approx(0.3)
    assert ours["train_seconds"] == {"median": 4.0, "min": 4.0, "max": 9.0}


def test_a_variant_has_the_spearman_of_every_round_and_the_interval_of_the_last(rounds: list[Round]) -> None:
    ours = summarize(rounds, WORKLOAD)["variants"][OURS]
    assert ours["spearman_cosine_by_round"] == [0.88, 0.88, 0.88]
    assert (ours["spearman_cosine"], ours["spearman_cosine_low"], ours["spearman_cosine_high"]) == (0.88, 0.85, 0.9)


def test_the_markdown_has_a_row_for_each_variant_with_its_ratio(rounds: list[Round]) -> None:
    text = to_markdown(summarize(rounds, WORKLOAD), "scored", "bf16")
    assert text.count("\n| ") == 3
    row = "| stock fp32, fp32 | 10 | 19 (14–19) | 2 (2–2) | 8.4 | 253 | 6% | 1000 | 0.8800 [0.8500, 0.9000]"
    assert f"{row} | 3.00 times as fast |" in text
    assert "stock fp32 0.8800, ours minus it +0.0000" in text


def test_the_table_of_triplets_has_their_leading_metric(make_result: Make) -> None:
    result = make_result(scores={NDCG: Estimate(0.7, 0.6, 0.8)}, shape="triplets")
    table = summarize([{OURS: result, "stock_fp32": result}], replace(WORKLOAD, peak_precision="fp32"))
    assert table["variants"][OURS]["cosine_ndcg_at_10_by_round"] == [0.7]
    assert table["cosine_ndcg_at_10_differences"] == {"stock_fp32": {"mean": 0.0}}
    text = to_markdown(table, "triplets", "fp32")
    assert "| examples/s | tokens/s | of fp32 peak | MB | nDCG@10 | ours is |" in text
    assert "Mean nDCG@10 of the rounds: ours 0.7000." in text


def test_the_spearman_of_a_rival_of_other_steps_is_not_compared(rounds: list[Round]) -> None:
    assert list(summarize(rounds, WORKLOAD)["spearman_cosine_differences"]) == ["stock_fp32"]


def test_the_difference_in_spearman_is_that_of_the_seeds_with_its_interval(make: Make) -> None:
    pairs = [(0.86, 0.87), (0.88, 0.88), (0.87, 0.89)]
    rounds = [{OURS: make(1.0, spearman=own), "stock_fp32": make(1.0, spearman=other)} for own, other in pairs]
    # mean -0.01, standard deviation 0.01, and 4.303 is the 97.5 % quantile of t with two degrees of freedom
    reach = 4.303 * 0.01 / 3**0.5
    assert score_difference(rounds, "stock_fp32") == pytest.approx(
        {"mean": -0.01, "low": -0.01 - reach, "high": -0.01 + reach}, abs=1e-5
    )
    assert score_difference(rounds[:1], "stock_fp32") == pytest.approx({"mean": -0.01})


def test_every_rival_of_the_config_has_its_overrides() -> None:
    assert {OURS, *RIVALS} == VARIANTS.keys()


def settings(config: Config, **bench: Any) -> BenchSettings:
    return BenchSettings(**vars(config), bench=BenchConfig(**bench))


def test_the_uncut_rival_exists_for_the_embedded_encoder_only(tiny_config: Callable[..., Config]) -> None:
    config = settings(tiny_config(), rivals=["stock_uncut", "stock_fp32"])
    assert list(speed.select_variants(config)) == [OURS, "stock_fp32"]
    with pytest.raises(UserError, match=r"bench\.rivals must be one that this encoder has"):
        speed.select_variants(settings(tiny_config(), rivals=["stock_uncut"]))
    config.model = EmbeddedEncoder()
    assert list(speed.select_variants(config)) == [OURS, "stock_uncut", "stock_fp32"]


@pytest.mark.parametrize(
    ("variant", "found", "limit", "steps"),
    [
        ("stock_bf16", "fp32", -1, 10),
        ("stock_bf16", "fp32", 4, 4),
        ("stock_bf16", "fp32", 60, 10),
        ("stock_bf16", "bf16", -1, -1),
        ("stock_fp32", "fp32", 60, 60),
    ],
)
def test_bf16_runs_for_few_steps_where_it_is_slow(
    variant: str, found: str, limit: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "choose_precision", lambda _: found)
    assert speed.max_steps(variant, limit) == steps


def test_each_round_trains_every_variant_with_a_seed_of_its_own(
    tiny_config: Callable[..., Config], make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, list[str]]] = []

    def trained(trainings: dict[str, list[str]], folder: Path) -> Round:
        started.append(trainings)
        return {name: make(1.0) for name in trainings}

    monkeypatch.setattr(speed, "train_in_turns", trained)
    config = settings(tiny_config(), rounds=2, rivals=["stock_fp32"], max_steps=5)
    table, markdown = speed.measure_speed(config, ["name=x"], load_examples(config.data), tmp_path)
    first, second = started[:2]
    assert first[OURS] == ["name=x", "trainer.max_steps=5", "trainer.seed=42"]
    config = settings(tiny_config("trainer.max_steps=7"), rounds=1, rivals=["stock_fp32"])
    speed.measure_speed(config, [], load_examples(config.data), tmp_path)
    assert started[2][OURS] == ["trainer.max_steps=7", "trainer.seed=42"]
    assert second["stock_fp32"] == ["name=x", "trainer=stock", "trainer.max_steps=5", "trainer.seed=43"]
    assert list(table["variants"]) == [OURS, "stock_fp32"]
    peak = precision.choose_precision("auto")
    assert table["data_source"] == "files" and table[f"{peak}_peak_gflops"] > 0
    assert "| ours, fp32 | 10 |" in markdown and f"| of {peak} peak |" in markdown
