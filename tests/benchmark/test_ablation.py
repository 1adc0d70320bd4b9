"""The ablation: what it trains, and the arithmetic of its table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.benchmark import speed
from src.benchmark.ablation import ABLATIONS, measure_ablation, to_markdown, worth
from src.benchmark.speed import OURS, Round
from src.config import BenchSettings, Config
from src.config.commands import BenchConfig
from src.data import load_examples
from src.evaluation.metrics import SPEARMAN
from src.evaluation.result import Result
from src.evaluation.statistics import Estimate
from src.utils.errors import UserError

Make = Callable[..., Result]


@pytest.fixture
def make(make_result: Make) -> Make:
    """Make the result of a training of ten steps, with two evaluations of 1 s, of some duration and Spearman."""

    def made(train_seconds: float, spearman: float = 0.88) -> Result:
        scores = {SPEARMAN: Estimate(spearman, 0.85, 0.9)}
        return make_result(train_seconds=train_seconds, steps=10, evaluation_seconds=2.0, scores=scores)

    return made


def test_a_speed_up_is_worth_what_a_step_takes_longer_without_it(make: Make) -> None:
    rounds: list[Round] = [
        {OURS: make(9.0), "bf16": make(19.0, 0.87)},
        {OURS: make(9.0), "bf16": make(13.0, 0.88)},
        {OURS: make(9.0), "bf16": make(15.0, 0.86)},
    ]
    found = worth(rounds, "bf16", interval=10)  # a step of 0.9 s, and 0.1 s of an evaluation
    assert found["seconds"] == pytest.approx(1.6)
    assert found["saved"] == pytest.approx(0.6)
    assert found["share"] == pytest.approx(0.375)
    assert found["score"] == pytest.approx(0.87)
    assert found["difference"]["mean"] == pytest.approx(0.01)
    text = to_markdown({"ours_seconds": 1.0, "without": {"bf16": found}}, "scored")
    assert "Ours takes 1.000 s a step" in text
    assert "| bf16 | 1.600 | +0.600 | +38% | 0.8700 | +0.0100 [" in text


@pytest.mark.parametrize("used", ["bf16", "fp32"])
def test_one_thing_is_turned_off_in_each_training(
    used: str, tiny_config: Callable[..., Config], make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, list[str]]] = []

    def trained(trainings: dict[str, list[str]], folder: Path) -> Round:
        started.append(trainings)
        return {name: make(1.0) for name in trainings}

    monkeypatch.setattr(speed, "train_in_turns", trained)
    expected = {name: own for name, own in ABLATIONS.items() if name != "bf16" or used == "bf16"}
    config: Any = BenchSettings(
        **vars(tiny_config(f"trainer.precision={used}")), bench=BenchConfig(rounds=1, ablation=True, max_steps=3)
    )
    table, markdown = measure_ablation(config, ["name=x"], load_examples(config.data), tmp_path)
    [commands] = started
    assert commands[OURS] == ["name=x", "trainer.max_steps=3", "trainer.seed=42"]
    assert {name: command[1:-2] for name, command in commands.items()} == expected
    assert list(table["without"]) == list(expected)[1:]
    assert markdown.count("\n| ") == len(expected)


@pytest.mark.parametrize("overrides", ABLATIONS.values())
def test_every_ablation_can_be_trained(overrides: list[str], tiny_config: Callable[..., Config]) -> None:
    tiny_config(*overrides)


def test_ablation_and_growth_exclude_each_other() -> None:
    with pytest.raises(UserError, match=r"bench\.growth must be false with bench\.ablation"):
        BenchConfig(ablation=True, growth=True)
