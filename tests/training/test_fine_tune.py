"""Training: same seed, same result; evaluating does not disturb it; the curve is complete."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from src.config import Config
from src.config.training import TrainerConfig
from src.data import ExampleSet, load_examples
from src.encoder import base_of, load_encoder
from src.evaluation import embedding
from src.evaluation.evaluate import evaluate
from src.evaluation.metrics import SPEARMAN
from src.report.card import init_model_card
from src.training import Training, TrainingClock, clock, fine_tune
from src.training.fine_tune import build_arguments, eval_interval, save_interval
from src.training.losses import ExampleLoss, build_loss
from src.training.trainer import ExampleTrainer
from src.utils.errors import UserError

TinyConfig = Callable[..., Config]
FP32 = "trainer.precision=fp32"


def losses_of(encoder: SentenceTransformer, data: ExampleSet, config: Config) -> dict[str, ExampleLoss]:
    """Return the configured loss of each set, or the default one of its shape."""
    chosen = config.loss.name
    return {
        name: build_loss(encoder, replace(config.loss, name=each.shape.losses[0] if chosen == "auto" else chosen))
        for name, each in data.sets.items()
    }


def train(config: Config) -> tuple[Training, torch.Tensor]:
    shutil.rmtree(config.folder, ignore_errors=True)
    return resume(config)


def resume(config: Config) -> tuple[Training, torch.Tensor]:
    pairs, encoder = load_examples(config.data), load_encoder(config.model)
    init_model_card(encoder, config.name, pairs, base_of(config.model))
    losses, folder = losses_of(encoder, pairs, config), Path(config.folder)
    training = fine_tune(encoder, pairs, losses, config.trainer, folder, [], TrainingClock())
    return training, torch.cat([weight.detach().flatten() for weight in encoder.parameters()])


@pytest.mark.parametrize("trainer", ["default", "stock"])
def test_the_curve_has_a_row_for_each_evaluation_and_for_the_last_step(trainer: str, tiny_config: TinyConfig) -> None:
    training, _ = train(tiny_config(f"trainer={trainer}", "trainer.batch_size=4", "trainer.eval_steps=4"))
    assert [row.step for row in training.curve] == [0, 4, 8, 10]
    assert training.curve[-1].epoch == 1
    assert all(-1 <= row.metrics[SPEARMAN] <= 1 for row in training.curve)
    assert training.curve[-1].validation_loss > 0


def test_the_curve_starts_with_the_encoder_before_training(tiny_config: TinyConfig) -> None:
    config = tiny_config(FP32)
    pairs, encoder = load_examples(config.data), load_encoder(config.model)
    before = evaluate(encoder, pairs.dev, losses_of(encoder, pairs, config)["train"], config.trainer)
    first = train(config)[0].curve[0]
    assert (first.epoch, first.step, first.validation_loss, first.metrics) == (0, 0, before.loss, before.metrics)
    assert math.isnan(first.training_loss)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_weights_and_curve(precision: str, threads: int, tiny_config: TinyConfig) -> None:
    config = tiny_config(f"trainer.precision={precision}", f"trainer.threads={threads}")
    first, weights = train(config)
    second, again = train(config)
    assert torch.equal(weights, again)
    assert first.curve == second.curve


def test_another_seed_gives_other_weights(tiny_config: TinyConfig) -> None:
    _, weights = train(tiny_config(FP32))
    _, others = train(tiny_config(FP32, "trainer.seed=43"))
    assert not torch.equal(weights, others)


def test_evaluating_more_often_does_not_change_the_training(tiny_config: TinyConfig) -> None:
    rare, weights = train(tiny_config(FP32, "trainer.eval_steps=10"))
    often, same = train(tiny_config(FP32, "trainer.eval_steps=2"))
    assert torch.equal(weights, same)
    assert (len(rare.curve), len(often.curve)) == (2, 6)
    assert rare.curve[-1].metrics == often.curve[-1].metrics


def test_packed_and_padded_training_agree_without_dropout(tiny_config: TinyConfig) -> None:
    _, packed = train(tiny_config(FP32, "model.dropout=0"))
    _, padded = train(
        tiny_config("trainer=stock", "model.dropout=0", "trainer.batch_size=4", "trainer.learning_rate=1e-3")
    )
    torch.testing.assert_close(packed, padded, atol=2e-3, rtol=0)


def test_realised_warmup_is_the_ratio_of_the_steps(tiny_config: TinyConfig) -> None:
    training, _ = train(tiny_config("trainer.warmup_ratio=0.3"))
    assert (training.steps, training.warmup_steps) == (10, 3)


def test_checkpoints_may_be_more_frequent_than_evaluations(tiny_config: TinyConfig) -> None:
    config = tiny_config(FP32, "trainer.batch_size=4", "trainer.eval_steps=10", "trainer.save_every_epochs=0.35")
    training, weights = train(config)
    assert [row.step for row in training.curve] == [0, 10]
    assert {path.name for path in Path(config.folder).glob("checkpoint-*")} == {"checkpoint-8", "checkpoint-10"}
    shutil.rmtree(Path(config.folder) / "checkpoint-10")
    resumed, same = resume(config)
    assert torch.equal(weights, same)
    assert resumed.curve == training.curve


def test_throughput_leaves_out_the_steps_before_an_interruption(tiny_config: TinyConfig) -> None:
    config = tiny_config(FP32, "trainer.batch_size=4", "trainer.eval_steps=4")
    train(config)
    shutil.rmtree(Path(config.folder) / "checkpoint-10")
    resumed, _ = resume(config)
    assert resumed.steps == 10
    assert resumed.pairs_per_second * resumed.train_seconds == pytest.approx(2 * 4)


@pytest.mark.parametrize(("trainer", "encodings"), [("default", 1), ("stock", 2)])  # the library encodes each column
@pytest.mark.parametrize("keep", ["last", "best"])
def test_evaluations_are_no_part_of_the_time_of_training(
    trainer: str, encodings: int, keep: str, tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0

    def taking(seconds: int, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            nonlocal now
            now += seconds
            return function(*arguments, **named)

        return timed

    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now))
    steps = [
        (ExampleTrainer, "training_step", 1),
        (embedding, "encode", 1000),
        (SentenceTransformer, "encode", 1000),
        (SentenceTransformerTrainer, "_load_best_model", 1000),
    ]
    for owner, name, seconds in steps:
        monkeypatch.setattr(owner, name, taking(seconds, getattr(owner, name)))
    config = tiny_config(f"trainer={trainer}", f"trainer.keep={keep}", "trainer.eval_steps=4")
    training, _ = train(config)
    assert (training.train_seconds, training.pairs_per_second) == (10, 4)
    assert training.evaluation_seconds == 1000 * (1 + 3 * encodings + (keep == "best"))
    shutil.rmtree(Path(config.folder) / "checkpoint-10")
    resumed, _ = resume(config)
    assert (resumed.train_seconds, resumed.pairs_per_second) == (2, 4)
    assert resumed.evaluation_seconds == 1000 * (1 + encodings + (keep == "best"))


def test_keep_best_ends_with_the_weights_of_the_best_evaluation(tiny_config: TinyConfig) -> None:
    config = tiny_config(FP32, "trainer.keep=best", "trainer.learning_rate=0.005", "trainer.epochs=3")
    shutil.rmtree(config.folder, ignore_errors=True)
    pairs, encoder = load_examples(config.data), load_encoder(config.model)
    losses = losses_of(encoder, pairs, config)
    wrong = pairs.train.map(lambda pair: {"score": 1 - pair["score"]})  # the longer it trains, the worse
    worse = replace(pairs, train=wrong)
    training = fine_tune(encoder, worse, losses, config.trainer, Path(config.folder), [], TrainingClock())
    best = max(row.metrics[SPEARMAN] for row in training.curve[1:])
    assert best < training.curve[0].metrics[SPEARMAN]
    assert best > training.curve[-1].metrics[SPEARMAN]
    assert evaluate(encoder, pairs.dev, losses["train"], config.trainer).metrics[SPEARMAN] == best


@pytest.mark.parametrize("trainer", ["default", "stock"])
def test_an_encoder_can_be_trained_twice_in_bf16(trainer: str, tiny_config: TinyConfig) -> None:
    config = tiny_config(f"trainer={trainer}", "trainer.precision=bf16", "trainer.checkpoints=false")
    pairs, encoder = load_examples(config.data), load_encoder(config.model)
    losses, checkpoints = losses_of(encoder, pairs, config), Path(config.folder)
    trained_in: list[torch.dtype] = []

    def record_dtype(layer: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        if layer.training:
            trained_in.append(output.dtype)

    encoder[0].model.encoder.layer[0].output.dense.register_forward_hook(record_dtype)
    fine_tune(encoder, pairs, losses, config.trainer, checkpoints, [], TrainingClock())
    passes = len(trained_in)
    assert passes > 0
    fine_tune(encoder, pairs, losses, config.trainer, checkpoints, [], TrainingClock())
    assert trained_in == [torch.bfloat16] * 2 * passes


@pytest.mark.parametrize(
    ("settings", "pairs", "expected"),
    [
        ({}, 5371, 84),
        ({"eval_every_epochs": 0.25}, 2654, 42),
        ({"eval_every_epochs": 2}, 160, 20),
        ({"eval_every_epochs": 0.5}, 3, 1),
        ({"eval_steps": 1}, 5371, 1),
        ({"eval_steps": 50}, 5371, 50),
    ],
)
def test_evaluations_come_every_so_many_epochs_or_steps(settings: dict[str, float], pairs: int, expected: int) -> None:
    assert eval_interval(TrainerConfig(**settings), pairs) == expected
    assert save_interval(TrainerConfig(**settings), pairs) == expected


def test_checkpoints_can_have_an_interval_of_their_own() -> None:
    assert save_interval(TrainerConfig(eval_steps=50, save_steps=7), 5371) == 7
    assert save_interval(TrainerConfig(save_every_epochs=0.5), 5371) == 168


@pytest.mark.parametrize(("ratio", "steps"), [(0.1, 34), (0.0, 0), (0.5, 168)])
def test_warmup_ratio_is_a_share_of_the_steps(ratio: float, steps: int, tiny_config: TinyConfig) -> None:
    config = tiny_config()
    pairs, encoder = load_examples(config.data), load_encoder(config.model)
    trainer = TrainerConfig(warmup_ratio=ratio, precision="fp32")
    arguments = build_arguments(trainer, encoder, pairs, losses_of(encoder, pairs, config), Path(config.folder))
    assert arguments.get_warmup_steps(336) == steps


@pytest.fixture
def static_folder(tiny_encoder_folder: Path, tmp_path: Path) -> Path:
    tokenizer = SentenceTransformer(str(tiny_encoder_folder), device="cpu").tokenizer
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = StaticEmbedding(tokenizer, embedding_dim=16)
    SentenceTransformer(modules=[module], device="cpu").save_pretrained(str(tmp_path / "static"))
    return tmp_path / "static"


@pytest.mark.parametrize("trainer", ["default", "stock"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_static_embeddings_train(trainer: str, precision: str, static_folder: Path, tiny_config: TinyConfig) -> None:
    places = (f"trainer={trainer}", f"model.path={static_folder}", f"trainer.precision={precision}")
    training, _ = train(tiny_config(*places, "trainer.learning_rate=1e-2", "trainer.epochs=4"))
    assert training.curve[-1].training_loss < training.curve[1].training_loss


def test_a_router_is_refused_in_a_sentence(tiny_config: TinyConfig, static_folder: Path, tmp_path: Path) -> None:
    routes = {name: [StaticEmbedding.load(str(static_folder))] for name in ("query", "document")}
    router = Router.for_query_document(routes["query"], routes["document"])
    SentenceTransformer(modules=[router], device="cpu").save_pretrained(str(tmp_path / "router"))
    with pytest.raises(UserError, match="found a Router"):
        train(tiny_config(f"model.path={tmp_path / 'router'}"))


def test_packed_and_padded_training_agree_with_a_default_prompt(
    tiny_config: TinyConfig, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "prompted"
    encoder = SentenceTransformer(
        str(tiny_encoder_folder), device="cpu", prompts={"q": "질문 "}, default_prompt_name="q"
    )
    encoder.save_pretrained(str(folder), create_model_card=False)
    prompted = (FP32, "model.dropout=0", f"model.path={folder}")
    _, packed = train(tiny_config(*prompted))
    _, padded = train(tiny_config(*prompted, "trainer.batching=padded", "trainer.used_rows=false"))
    _, without = train(tiny_config(FP32, "model.dropout=0"))
    torch.testing.assert_close(packed, padded, atol=2e-3, rtol=0)
    assert (packed - without).abs().max() > 4e-3


def test_the_curve_of_the_stock_trainer_has_the_prompts_of_both_columns(tiny_config: TinyConfig) -> None:
    prompts = [
        "model.prompts={query: 'q: ', passage: 'p: '}",
        "model.column_prompts={sentence1: query,sentence2: passage}",
    ]
    config = tiny_config(
        "trainer=stock", "trainer.max_steps=2", "trainer.eval_steps=1", *(f"++{each}" for each in prompts)
    )
    pairs, encoder = load_examples(config.data), load_encoder(config.model)
    losses = losses_of(encoder, pairs, config)
    training = fine_tune(encoder, pairs, losses, config.trainer, Path(config.folder), [], TrainingClock())
    after = evaluate(encoder, pairs.dev, losses[pairs.name], config.trainer)
    assert training.curve[-1].metrics[SPEARMAN] == pytest.approx(after.metrics[SPEARMAN], abs=1e-6)
