"""The configuration means in steps what it says."""

from pathlib import Path

import pytest

from src.config.training import TrainerConfig
from src.training.arguments import build_arguments, steps_between_evaluations


@pytest.mark.parametrize(
    ("eval_steps", "pairs", "expected"),
    [(0.25, 5371, 84), (0.25, 2654, 42), (1, 5371, 1), (50, 5371, 50), (0.5, 3, 1)],
)
def test_steps_between_evaluations(eval_steps: float, pairs: int, expected: int) -> None:
    assert steps_between_evaluations(TrainerConfig(eval_steps=eval_steps), pairs) == expected


@pytest.mark.parametrize(("ratio", "steps"), [(0.1, 34), (0.0, 0), (0.5, 168)])
def test_warmup_ratio_is_a_share_of_the_steps(ratio: float, steps: int, tmp_path: Path) -> None:
    arguments = build_arguments(TrainerConfig(warmup_ratio=ratio), "fp32", 5371, tmp_path)
    assert arguments.get_warmup_steps(336) == steps
