"""Batches: no text twice for losses with in-batch negatives, one set of a mixture at a time, as many as announced."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch.utils.data import DataLoader, RandomSampler

from src.config.training import LossConfig, TrainerConfig
from src.data import ExampleSet
from src.training.fine_tune import eval_interval, save_interval, total_steps
from src.training.trainer import ExampleTrainer
from tests.training.examples import make_losses, make_set, make_trainer, texts, train_on

MIXTURE = replace(
    make_set("scored", 40, "sts"), others=(make_set("triplets", 24, "nli"), make_set("labelled", 9, "nli2"))
)


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu").eval()


@pytest.fixture
def repeated() -> ExampleSet:
    """Triplets in which each text occurs several times, as an anchor and as a positive of other rows too."""
    words = texts("방이", 30)
    rows = [(words[number % 10], words[10 + number % 7], words[(number * 3) % 30]) for number in range(60)]
    columns = zip(*[row for row in rows if len(set(row)) == 3], strict=True)
    examples = Dataset.from_dict(dict(zip(("anchor", "positive", "negative"), map(list, columns), strict=True)))
    return replace(make_set("triplets"), train=examples)


def rows_of(trainer: ExampleTrainer) -> list[list[int]]:
    """Return the rows of each batch of the first epoch."""
    loader: DataLoader[Any] = trainer.get_train_dataloader()
    return list(loader.batch_sampler)


@pytest.mark.parametrize("batching", ["packed", "padded"])
def test_no_text_is_twice_in_a_batch_with_in_batch_negatives(
    batching: str, encoder: SentenceTransformer, repeated: ExampleSet, tmp_path: Path
) -> None:
    losses = make_losses(encoder, repeated, LossConfig("mnrl"))
    settings: dict[str, Any] = {"batching": batching, "used_rows": False, "batch_size": 4}
    batches = rows_of(make_trainer(encoder, repeated, losses, tmp_path, **settings))
    assert sorted(row for batch in batches for row in batch) == list(range(len(repeated.train)))
    for batch in batches:
        found = [text for row in batch for text in repeated.train[row].values()]
        assert len(found) == len(set(found))


def test_examples_that_no_batch_of_an_epoch_has_are_counted_in_a_warning(
    encoder: SentenceTransformer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = make_set("positives")
    answers = data.train.select_columns(["anchor"]).add_column(
        "positive", [f"답 {i % 2}" for i in range(len(data.train))]
    )
    train_on(encoder, replace(data, train=answers), tmp_path, LossConfig("mnrl"), checkpoints=False)
    assert "examples (train) are left out of an epoch" in caplog.text


def test_packed_and_stock_trainers_draw_the_same_batches(
    encoder: SentenceTransformer, repeated: ExampleSet, tmp_path: Path
) -> None:
    losses = make_losses(encoder, repeated)
    packed, stock = (
        rows_of(make_trainer(encoder, repeated, losses, tmp_path, batching=batching, used_rows=False, batch_size=4))
        for batching in ("packed", "padded")
    )
    assert packed == stock


@pytest.mark.parametrize(
    ("loss", "sampler", "apart"),
    [
        ("triplet", "auto", False),
        ("triplet", "no_duplicates", True),
        ("mnrl", "auto", True),
        ("mnrl", "batch_sampler", False),
    ],
)
def test_the_sampler_can_be_chosen(
    loss: str, sampler: str, apart: bool, encoder: SentenceTransformer, repeated: ExampleSet, tmp_path: Path
) -> None:
    losses = make_losses(encoder, repeated, LossConfig(loss))
    trainer = make_trainer(encoder, repeated, losses, tmp_path, batch_size=8, batch_sampler=sampler)
    found = [[text for row in batch for text in repeated.train[row].values()] for batch in rows_of(trainer)]
    assert all(len(batch) == len(set(batch)) for batch in found) == apart
    assert trainer.args.batch_sampler == ("no_duplicates" if apart else "batch_sampler")


def test_scored_pairs_are_drawn_as_by_the_default_sampler_of_the_library(
    encoder: SentenceTransformer, tmp_path: Path
) -> None:
    data = make_set("scored", 21)
    found = rows_of(make_trainer(encoder, data, make_losses(encoder, data), tmp_path, seed=7))
    expected = list(RandomSampler(range(21), generator=torch.Generator().manual_seed(7)))
    assert [row for batch in found for row in batch] == expected


@pytest.mark.parametrize("batching", ["packed", "padded"])
def test_a_batch_of_a_mixture_has_examples_of_one_set_in_proportion_to_its_size(
    batching: str, encoder: SentenceTransformer, tmp_path: Path
) -> None:
    losses = make_losses(encoder, MIXTURE)
    packed = batching == "packed"
    trainer = make_trainer(encoder, MIXTURE, losses, tmp_path, batching=batching, used_rows=packed, batch_size=4)
    batches = list(trainer.get_train_dataloader())
    assert Counter(batch["dataset_name"] for batch in batches) == {"sts": 10, "nli": 6, "nli2": 3}
    assert [batch["dataset_name"] for batch in batches] != sorted(batch["dataset_name"] for batch in batches)
    for batch in batches:
        features, labels = trainer.collect_features(batch)
        assert len(features) == (1 if packed else 3 if batch["dataset_name"] == "nli" else 2)
        assert (labels is None) == (batch["dataset_name"] == "nli")


def test_round_robin_takes_a_batch_of_each_set_in_turn_until_the_smallest_ends(
    encoder: SentenceTransformer, tmp_path: Path
) -> None:
    losses = make_losses(encoder, MIXTURE)
    settings: dict[str, Any] = {"multi_dataset_batch_sampler": "round_robin", "batch_size": 4}
    batches = list(make_trainer(encoder, MIXTURE, losses, tmp_path, **settings).get_train_dataloader())
    assert [batch["dataset_name"] for batch in batches] == ["sts", "nli", "nli2"] * 3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradient_accumulation_steps": 3},
        {"multi_dataset_batch_sampler": "round_robin", "gradient_accumulation_steps": 2},
        {"epochs": 1.5},
        {"batch_sampler": "no_duplicates"},
        {"max_steps": 7},
    ],
)
def test_a_training_on_a_mixture_has_the_planned_number_of_steps(
    settings: dict[str, Any], encoder: SentenceTransformer, tmp_path: Path
) -> None:
    training = train_on(encoder, MIXTURE, tmp_path, batch_size=4, eval_every_epochs=0.5, checkpoints=False, **settings)
    sizes = [len(each.train) for each in MIXTURE.sets.values()]
    config = TrainerConfig(batch_size=4, eval_every_epochs=0.5, **settings)
    steps, interval = total_steps(config, *sizes), eval_interval(config, *sizes)
    assert training.steps == steps
    assert [row.step for row in training.curve] == sorted({*range(0, steps, interval), steps})


def test_intervals_are_shares_of_an_epoch_of_all_sets() -> None:
    config = TrainerConfig(batch_size=10, eval_every_epochs=0.5, save_every_epochs=1, gradient_accumulation_steps=2)
    assert (total_steps(config, 95, 41), eval_interval(config, 95, 41), save_interval(config, 95, 41)) == (8, 4, 8)
    turns = replace(config, multi_dataset_batch_sampler="round_robin")
    assert (total_steps(turns, 95, 41), eval_interval(turns, 95, 41)) == (5, math.ceil(2.5))


def test_the_metrics_of_all_sets_of_a_mixture_are_part_of_the_curve(
    encoder: SentenceTransformer, tmp_path: Path
) -> None:
    training = train_on(encoder, MIXTURE, tmp_path, epochs=2, evaluation="dataloader")
    names = list(training.curve[-1].metrics)
    assert names[0] == "spearman_cosine" and {"nli/cosine_ndcg_at_10", "nli2/cosine_ap"} < set(names)
    assert all(list(row.metrics) == names for row in training.curve)
    assert training.curve[-1].metrics != training.curve[0].metrics


def test_the_weight_of_a_set_scales_its_loss(encoder: SentenceTransformer, tmp_path: Path) -> None:
    losses = make_losses(encoder, MIXTURE)
    batch = next(
        batch
        for batch in make_trainer(encoder, MIXTURE, losses, tmp_path).get_train_dataloader()
        if batch["dataset_name"] == "nli"
    )
    light, heavy = (
        make_trainer(encoder, MIXTURE, losses | {"nli": replace(losses["nli"], weight=weight)}, tmp_path)
        for weight in (1.0, 2.5)
    )
    for module in encoder.modules():
        module.training = False
    encoder.training = True  # the loss of a training step, without dropout
    once, more = (trainer.compute_loss(encoder, dict(batch)).item() for trainer in (light, heavy))
    assert more == pytest.approx(2.5 * once)


def test_the_sets_of_a_mixture_are_left_as_they_are(encoder: SentenceTransformer, tmp_path: Path) -> None:
    train_on(encoder, MIXTURE, tmp_path, checkpoints=False)
    assert all("dataset_name" not in each.train[0] for each in MIXTURE.sets.values())
