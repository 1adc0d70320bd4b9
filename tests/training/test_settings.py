"""Settings of the optimisation: accumulation, schedules, early stopping, rates of layers, frozen embeddings."""

import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.sampler import DefaultBatchSampler

from src.config.training import LossConfig, TrainerConfig
from src.data import ExampleSet
from src.evaluation.metrics import LEARNING_RATE, TRAINING_LOSS
from src.training import CurveRow, Training
from src.training.layers import embedding_weights, frozen_embeddings, learning_rates
from src.utils.errors import TrainingDiverged, UserError
from tests.training.examples import make_losses, make_set, make_trainer, train_on

SCORED = make_set("scored", 40)
WHOLE = {"checkpoints": False, "batch_size": 8}


class Recorder:
    """Callback that keeps the values of each step and the rows of the curve."""

    def __init__(self) -> None:
        self.steps: dict[int, dict[str, float]] = {}
        self.rows: list[CurveRow] = []

    def on_train_begin(self, steps: int, step: int) -> None:
        self.planned = steps

    def on_step(self, step: int, values: dict[str, float]) -> None:
        self.steps[step] = values

    def on_evaluate(self, row: CurveRow) -> None:
        self.rows.append(row)


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    encoder[0].model.config.attention_probs_dropout_prob = 0.0
    return encoder


def weights_of(encoder: SentenceTransformer) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in encoder.parameters()])


@pytest.mark.parametrize("batching", ["packed", "padded"])
def test_accumulated_batches_make_the_step_of_a_larger_batch(
    batching: str, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    found = []
    for size, passes in ((8, 1), (4, 2)):
        encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
        for module in encoder.modules():
            if hasattr(module, "p"):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
        settings: dict[str, Any] = {"batch_size": size, "gradient_accumulation_steps": passes, "checkpoints": False}
        settings |= {"batching": batching, "used_rows": False, "eval_steps": 1}
        training = train_on(encoder, SCORED, tmp_path, **settings)
        found.append((training.steps, [row.training_loss for row in training.curve[1:]], weights_of(encoder)))
    (steps, losses, weights), (same_steps, same_losses, same_weights) = found
    assert steps == same_steps == 5
    assert losses == pytest.approx(same_losses, rel=1e-4)
    torch.testing.assert_close(weights, same_weights, atol=2e-3, rtol=0)


def test_throughput_counts_the_examples_of_all_forward_passes(encoder: SentenceTransformer, tmp_path: Path) -> None:
    training = train_on(encoder, SCORED, tmp_path, batch_size=4, gradient_accumulation_steps=4, checkpoints=False)
    assert training.steps == 3
    assert training.pairs_per_second * training.train_seconds == pytest.approx(40)


def test_a_nan_loss_in_an_accumulated_batch_is_reported_with_its_step(
    encoder: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from src.training.trainer import ExampleTrainer

    compute = ExampleTrainer.compute_loss

    def computed(self: ExampleTrainer, *arguments: Any, **named: Any) -> Any:
        loss = compute(self, *arguments, **named)
        if self.examples == 28:  # after the seventh pass, the first of the fourth step
            self.losses[-1] = loss.detach() * math.nan
        return loss

    monkeypatch.setattr(ExampleTrainer, "compute_loss", computed)
    with pytest.raises(TrainingDiverged, match="step 4: expected a training loss that is a finite number"):
        train_on(encoder, SCORED, tmp_path, batch_size=4, gradient_accumulation_steps=2)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", lambda step: (20 - step) / 18),
        ("cosine", lambda step: (1 + math.cos(math.pi * (step - 2) / 18)) / 2),
        ("constant_with_warmup", lambda step: 1.0),
    ],
)
def test_schedules_of_the_learning_rate(
    schedule: str, expected: Any, encoder: SentenceTransformer, tmp_path: Path
) -> None:
    seen = Recorder()
    settings = {"lr_scheduler_type": schedule, "batch_size": 2, "eval_steps": 1}
    train_on(encoder, SCORED, tmp_path, callbacks=(seen,), checkpoints=False, **settings)
    rates = [values[LEARNING_RATE] for values in seen.steps.values()]
    assert rates[:2] == pytest.approx([5e-4, 1e-3])
    assert rates == pytest.approx([5e-4, *(1e-3 * expected(step) for step in range(2, 21))])


def getting_worse() -> ExampleSet:
    """Scored pairs that are better fitted the worse the evaluation gets, so that the first one is the best."""
    wrong = SCORED.train.map(lambda pair: {"score": 1 - pair["score"]})
    return replace(SCORED, train=wrong)


def stopped(encoder: SentenceTransformer, folder: Path, **settings: Any) -> Training:
    wrong: dict[str, Any] = {"epochs": 8, "eval_steps": 2, "learning_rate": 5e-3, "early_stopping_patience": 3}
    return train_on(encoder, getting_worse(), folder, **{**wrong, **settings})


def fresh(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu")


def since_best(training: Training) -> int:
    """Return the number of evaluations after the best one, that of the base encoder aside."""
    leading = [next(iter(row.metrics.values())) for row in training.curve[1:]]
    return len(leading) - 1 - leading.index(max(leading))


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_training_stops_when_the_patience_ends(
    keep: str, tiny_encoder_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        training = stopped(fresh(tiny_encoder_folder), tmp_path, keep=keep)
    assert caplog.messages.count("  stopped early: no better evaluation among the last 3") == 1
    assert training.steps < 40
    assert training.curve[-1].step == training.steps
    assert since_best(training) == 3
    assert (tmp_path / f"checkpoint-{training.steps}").is_dir()
    assert training.warmup_steps == 4  # a tenth of the planned steps


@pytest.mark.parametrize("back", [0, 1, 2], ids=["at the stop", "one evaluation before", "two before"])
def test_a_resumed_training_stops_where_the_uninterrupted_one_does(
    back: int, tiny_encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.training.trainer.MAX_CHECKPOINTS", 20)
    encoder = fresh(tiny_encoder_folder)
    whole = stopped(encoder, tmp_path)
    for number in range(back):
        shutil.rmtree(tmp_path / f"checkpoint-{whole.steps - 2 * number}")
    again = fresh(tiny_encoder_folder)
    resumed = stopped(again, tmp_path)
    assert resumed.steps == whole.steps
    assert resumed.curve == whole.curve
    assert torch.equal(weights_of(again), weights_of(encoder))


def test_the_last_step_is_evaluated_and_saved_if_the_sampler_yields_fewer_batches_than_announced(
    encoder: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(self: DefaultBatchSampler) -> Iterator[list[int]]:
        return iter([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])

    monkeypatch.setattr(DefaultBatchSampler, "__iter__", cut_short)
    seen = Recorder()
    settings: dict[str, Any] = {"batch_size": 4, "epochs": 2, "eval_steps": 4}
    training = train_on(encoder, SCORED, tmp_path, callbacks=(seen,), **settings)
    assert (seen.planned, training.steps) == (20, 6)
    assert [row.step for row in training.curve] == [0, 4, 6]
    assert training.curve == seen.rows
    assert math.isfinite(seen.steps[6][TRAINING_LOSS])
    assert (tmp_path / "checkpoint-6").is_dir()


def test_lower_layers_learn_at_lower_rates(encoder: SentenceTransformer, tmp_path: Path) -> None:
    losses = make_losses(encoder, SCORED)
    trainer = make_trainer(encoder, SCORED, losses, tmp_path, layer_decay=0.5, learning_rate=1e-3)
    trainer.create_optimizer()
    names = {id(weight): name for name, weight in encoder.named_parameters()}
    rates = {names[id(weight)]: group["lr"] for group in trainer.optimizer.param_groups for weight in group["params"]}
    assert rates.keys() == dict(encoder.named_parameters()).keys()
    transformer = "0.model"
    for name, rate in rates.items():
        part = name.removeprefix(f"{transformer}.").split(".")
        expected = {"embeddings": 0.25e-3, "encoder": 1e-3 if part[2] == "1" else 0.5e-3, "pooler": 1e-3}[part[0]]
        assert rate == pytest.approx(expected), name


@pytest.mark.parametrize("used_rows", [True, False])
def test_the_highest_learning_rate_is_logged(used_rows: bool, encoder: SentenceTransformer, tmp_path: Path) -> None:
    seen = Recorder()
    before = {name: weight.clone() for name, weight in encoder[0].model.named_parameters()}
    settings: dict[str, Any] = {"layer_decay": 1e-6, "eval_steps": 1, "used_rows": used_rows, "warmup_ratio": 0.0}
    train_on(encoder, SCORED, tmp_path, callbacks=(seen,), checkpoints=False, max_steps=4, **settings)
    assert seen.steps[1][LEARNING_RATE] == pytest.approx(1e-3 * 3 / 4)
    moved = {name: (weight - before[name]).abs().max() for name, weight in encoder[0].model.named_parameters()}
    assert moved["encoder.layer.1.output.dense.weight"] > 1e-4
    assert moved["encoder.layer.0.output.dense.weight"] < 1e-8 > moved["embeddings.word_embeddings.weight"]


def test_gradients_are_clipped(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    moved = []
    for norm in (1.0, 1e-10):  # the second is below the constant by which Adam avoids a division by 0
        encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
        before = weights_of(encoder)
        train_on(encoder, SCORED, tmp_path, checkpoints=False, max_steps=3, max_grad_norm=norm)
        moved.append((weights_of(encoder) - before).norm())
    assert moved[1] < 0.1 * moved[0]


def test_weight_decay_shrinks_what_has_no_gradient(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    for decay, expected in ((0.0, 1.0), (0.5, 1 - 0.5 * 1e-3)):
        encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
        unused = encoder[0].model.embeddings.word_embeddings.weight[-1]
        before = unused.detach().clone()
        settings: dict[str, Any] = {"weight_decay": decay, "used_rows": False, "warmup_ratio": 0.0}
        train_on(encoder, SCORED, tmp_path, checkpoints=False, max_steps=1, **settings)
        torch.testing.assert_close(encoder[0].model.embeddings.word_embeddings.weight[-1], before * expected)


@pytest.mark.parametrize("used_rows", [True, False])
def test_frozen_embeddings_stay_as_they_are(used_rows: bool, encoder: SentenceTransformer, tmp_path: Path) -> None:
    transformer = encoder[0].model
    before = {name: weight.clone() for name, weight in transformer.named_parameters()}
    train_on(encoder, SCORED, tmp_path, freeze_embeddings=True, used_rows=used_rows, layer_decay=0.9, checkpoints=False)
    changed = {name for name, weight in transformer.named_parameters() if not torch.equal(weight, before[name])}
    assert changed and not any(name.startswith("embeddings") for name in changed)
    assert all(weight.requires_grad for weight in transformer.parameters())


def test_only_what_a_transformer_defines_before_its_first_layer_is_an_embedding(encoder: SentenceTransformer) -> None:
    transformer = encoder[0].model
    assert {name.split(".")[0] for name in embedding_weights(transformer)} == {"embeddings"}
    with frozen_embeddings(transformer, True):
        assert len(learning_rates(transformer, TrainerConfig(layer_decay=0.5))) == 1
    assert len(learning_rates(transformer, TrainerConfig(layer_decay=0.5))) == 2
    assert learning_rates(transformer, TrainerConfig()) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gradient_accumulation_steps", 0),
        ("lr_scheduler_type", "polynomial"),
        ("early_stopping_patience", 0),
        ("layer_decay", 0.0),
        ("layer_decay", 1.1),
        ("batch_sampler", "group_by_label"),
        ("multi_dataset_batch_sampler", "random"),
    ],
)
def test_impossible_settings_are_refused(key: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^trainer\.{key} must be .*, found"):
        TrainerConfig(**{key: value})


def test_settings_of_layers_need_layers(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import BoW

    encoder = SentenceTransformer(modules=[BoW(["방이", "침대가", "좋아요"])], device="cpu")
    with pytest.raises(UserError, match="need an encoder with layers, found BoW as its first module"):
        train_on(encoder, SCORED, tmp_path, LossConfig("cosine_similarity"), freeze_embeddings=True)
