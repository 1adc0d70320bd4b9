"""The search space: any key, checked before anything runs."""

from collections.abc import Callable
from typing import Any

import optuna
import pytest

from src.config import Config
from src.config.commands import SET_BY_SWEEP
from src.sweeping.search import build_grid
from src.sweeping.space import build_space, current_params, suggest, with_params
from src.utils.errors import UserError

TinyConfig = Callable[..., Config]


def test_params_of_every_form_of_an_entry_lie_within_its_bounds(tiny_config: TinyConfig) -> None:
    entries = {
        "trainer": {
            "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
            "warmup_ratio": {"low": 0.0, "high": 0.3},
            "batch_size": {"low": 4, "high": 12, "integer": True, "step": 4},
        },
        "loss.name": {"choices": ["cosine_similarity", "cosent"]},
        "model.dropout": {"choices": [None, 0.2]},
    }
    config = tiny_config()
    space = build_space(entries, config)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        changed = with_params(config, suggest(study.ask(), space))
        assert 1e-5 <= changed.trainer.learning_rate <= 1e-3
        assert changed.trainer.warmup_ratio <= 0.3
        assert changed.trainer.batch_size in (4, 8, 12)
        assert changed.loss.name in ("cosine_similarity", "cosent")
        assert changed.model.dropout in (None, 0.2)
    assert config.trainer.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"trainer.warmup": {"low": 0, "high": 1}}, "Key 'warmup' not in 'TrainerConfig'"),
        ({"trainer.warmup_ratio": {"low": 0.0, "high": 1.5}}, "trainer.warmup_ratio must be"),
        ({"trainer.batch_size": {"low": 1.5, "high": 8.5}}, "could not be converted to Integer"),
        ({"trainer.batch_size": {"low": 1.5, "high": 8, "integer": True}}, "must be whole numbers"),
        ({"trainer.epochs": {"choices": []}}, "must not be empty"),
        ({"trainer.epochs": {"choices": [1, 2], "low": 1}}, "must stand alone"),
        ({"trainer.epochs": {"low": 1}}, "low and high must be given together"),
        ({"trainer.epochs": {"low": 3, "high": 1}}, "low must be below high"),
        ({"trainer.epochs": {"low": 1, "high": 3, "logg": True}}, "logg"),
        ({"trainer.learning_rate": {"low": 0.0, "high": 0.1, "log": True}}, "low"),
        ({"trainer.epochs": {"low": "one", "high": 3}}, "'one'"),
        ({"trainer.epochs": [1, 2]}, "must be a mapping"),
        ({"trainer.epochs": {"choices": [[1, 2], [3, 4]]}}, "not of lists or mappings"),
        ({"trainer.epochs": {"choices": "12"}}, "must be a list"),
        ({"trainer.epochs": {"choices": [1, 2, 1.0]}}, "must differ from each other"),
        ({"trainer.learning_rate": {"choices": [1e-3, float("nan")]}}, "must be finite"),
        ({"trainer.batch_size": {"low": 4, "high": 16}}, "add integer: true"),
        ({"trainer.learning_rate": {"low": float("nan"), "high": 0.1}}, "finite numbers"),
        ({"trainer.learning_rate": {"low": 1e-5, "high": float("inf")}}, "finite numbers"),
        ({"trainer.learning_rate": {"low": "1e-5", "high": "1e-4"}}, "finite numbers"),
        ({"trainer.warmup_ratio": {"low": 0.0, "high": 0.3, "step": 0.5}}, "step must be above 0 and at most"),
        ({"trainer.warmup_ratio": {"low": 0.0, "high": 0.3, "step": 0.0}}, "step must be above 0 and at most"),
        ({"trainer.batch_size": {"low": 4, "high": 8, "integer": True, "step": 1.5}}, "must be whole numbers"),
        ({"model": {"choices": ["e5_small_ko", "kr_sbert"]}}, "a key with a single value"),
        ({"trainer": {"choices": ["default", "stock"]}}, "a key with a single value"),
        ({"data.seed": {"choices": [1, 2]}}, "the same for all trials"),
        *(({f"trainer.{key}": {"choices": [1, 2]}}, "the same for all trials") for key in SET_BY_SWEEP),
        ({}, "at least one key"),
    ],
)
def test_an_invalid_space_is_refused_with_its_key(entries: dict[str, Any], words: str, tiny_config: TinyConfig) -> None:
    with pytest.raises(UserError) as refused:
        build_space(entries, tiny_config())
    assert words in str(refused.value)
    assert all(key in str(refused.value) for key in entries)


def test_a_base_encoder_that_is_missing_is_refused_before_the_search(tiny_config: TinyConfig) -> None:
    config = tiny_config()
    with pytest.raises(UserError, match=r"model\.path=/missing, found none"):
        build_space({"model.path": {"choices": [config.model.path, "/missing"]}}, config)


def test_a_grid_has_every_value_and_needs_steps(tiny_config: TinyConfig) -> None:
    stepped = build_space({"trainer.warmup_ratio": {"low": 0.0, "high": 0.3, "step": 0.1}}, tiny_config())
    assert build_grid(stepped)["trainer.warmup_ratio"] == [0, 0.1, 0.2, 0.3]
    rates = build_space({"trainer.learning_rate": {"low": 2e-5, "high": 5e-5, "step": 1e-5}}, tiny_config())
    assert build_grid(rates)["trainer.learning_rate"] == [2e-5, 3e-5, 4e-5, 5e-5]
    sizes = build_space({"trainer.batch_size": {"low": 4, "high": 8, "step": 2, "integer": True}}, tiny_config())
    assert [repr(size) for size in build_grid(sizes)["trainer.batch_size"]] == ["4", "6", "8"]
    continuous = build_space({"trainer.warmup_ratio": {"low": 0.0, "high": 0.3}}, tiny_config())
    with pytest.raises(UserError, match=r"trainer\.warmup_ratio"):
        build_grid(continuous)


def test_the_current_params_are_a_point_of_the_space_only_if_all_lie_inside(tiny_config: TinyConfig) -> None:
    config = tiny_config("trainer.learning_rate=1e-3")
    space = build_space(
        {"trainer.learning_rate": {"low": 1e-4, "high": 1e-2}, "trainer.epochs": {"choices": [1, 2]}}, config
    )
    assert current_params(config, space) == {"trainer.learning_rate": 1e-3, "trainer.epochs": 1}
    assert current_params(tiny_config("trainer.epochs=3"), space) is None
    assert current_params(tiny_config("trainer.learning_rate=0.5"), space) is None
