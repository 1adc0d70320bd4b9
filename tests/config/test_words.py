"""Settings in words."""

from typing import Any

import pytest

from src.config import SweepSettings
from src.config.commands import SweepConfig
from src.config.training import TrainerConfig
from src.config.words import LONGEST, default_run_name, describe


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"trainer.epochs": 2.0, "trainer.warmup_ratio": 0.12345, "trainer.learning_rate": 8.1234e-05},
         "lr 8.12e-05, warmup 0.123, 2 epochs"),
        ({"trainer.epochs": 1, "trainer.batch_size": 16, "trainer.learning_rate": 1e-4}, "lr 1e-04, 1 epoch, batch 16"),
        ({"trainer.epochs": 0.5, "trainer.seeds": [42, 43], "loss.name": "cosent"}, "0.5 epochs, seeds 42, 43, cosent"),
        ({"trainer.max_steps": 1500, "trainer.seed": 7, "model.name": "team/한국어"}, "1500 steps, seed 7, 한국어"),
        ({"trainer.weight_decay": 0.01, "model.dropout": None, "trainer.fast_dropout": False},
         "weight_decay 0.01, dropout none, fast_dropout off"),
        ({"trainer.gradient_accumulation_steps": 4, "trainer.lr_scheduler_type": "cosine", "trainer.layer_decay": 0.9},
         "accumulation 4, cosine schedule, layer decay 0.9"),
        ({"loss.name": "mnrl", "loss.scale": 20.0, "loss.symmetric": True, "loss.matryoshka_dims": [256, 128]},
         "mnrl, both directions, dims 256/128, scale 20"),
        ({"data.sets.nli.loss.name": "mnrl", "data.sets.nli.weight": 0.5, "data.sets.sts.loss": "cosent"},
         "nli mnrl, nli weight 0.5, sts cosent"),
        ({"trainer.freeze_embeddings": True, "trainer.multi_dataset_batch_sampler": "round_robin"},
         "frozen embeddings, round robin"),
        ({"model.path": "/data/내 모델\x1b[31m\n"}, r"내 모델\x1b[31m"),
        ({}, ""),
    ],
)  # fmt: skip
def test_settings_are_described_in_few_words(params: dict[str, Any], words: str) -> None:
    assert describe(params) == words


def test_long_descriptions_are_cut_between_parts() -> None:
    text = describe({f"trainer.key_number_{number}": "x" * 20 for number in range(12)} | {"trainer.seed": 3})
    assert text.startswith("seed 3, key_number_0 xxxx") and text.endswith("x, 9 more")
    assert len(text) <= LONGEST + len(", 9 more")
    assert len(describe({"trainer.seeds": list(range(1000))})) < LONGEST


def test_a_sweep_is_named_by_its_trials_and_what_differs() -> None:
    config = SweepSettings(name="x", trainer=TrainerConfig(), sweep=SweepConfig(trials=3))
    assert default_run_name(config) == "sweep, 3 trials"
    assert default_run_name(config, "cosent") == "sweep, 3 trials, cosent"
