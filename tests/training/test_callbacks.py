"""A training with a NaN or Inf stops at once, names the cause, and keeps its last good checkpoint."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

import src.train
from src.cli import handle_errors
from src.config import Config
from src.training.trainer import ExampleTrainer
from src.utils.errors import TrainingDiverged
from tests.pipeline.test_training import killed_at

TinyConfig = Callable[..., Config]


def break_weights(encoder: SentenceTransformer) -> None:
    """Break the embedding of a letter that occurs in no pair: neither losses nor predictions change."""
    encoder[0].model.embeddings.word_embeddings.weight[-1] = math.nan


def collapse(encoder: SentenceTransformer) -> None:
    """Let every sentence have the same embedding."""
    for weight in encoder.parameters():
        weight.zero_()
    encoder[0].model.encoder.layer[-1].output.LayerNorm.bias.fill_(1)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (break_weights, "step 6: expected finite weights"),
        (collapse, "step 6: expected similarities that differ between the dev pairs, found the same for all"),
    ],
)
def test_a_training_that_diverges_fails_with_the_step_and_keeps_the_last_good_checkpoint(
    broken: Callable[[SentenceTransformer], None], words: str, tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("trainer.precision=fp32")
    evaluate = ExampleTrainer.evaluate

    def evaluated(self: ExampleTrainer, *arguments: Any, **named: Any) -> dict[str, float]:
        if self.state.global_step == 6:
            with torch.no_grad():
                broken(self.model)
        return evaluate(self, *arguments, **named)

    monkeypatch.setattr(ExampleTrainer, "evaluate", evaluated)
    with pytest.raises(TrainingDiverged) as caught:
        src.train.run(config)
    sentence = str(caught.value)
    assert words in sentence
    assert "learning rate 0.001 is probably too high" in sentence and "bf16" not in sentence
    (kept,) = Path(config.folder).glob("checkpoints/checkpoint-*")
    assert f"trainer.resume=never, which removes {kept}, the last good checkpoint" in sentence
    assert all(weight.isfinite().all() for weight in load_file(kept / "model.safetensors").values())
    client = MlflowClient(config.tracking.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"] == f"TrainingDiverged: {sentence}"
    assert all(math.isfinite(value) for value in run.data.metrics.values())
    assert not (Path(config.folder) / "metrics.json").exists()


def test_no_checkpoint_between_evaluations_contains_non_finite_weights(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("trainer.precision=fp32", "trainer.eval_steps=10", "trainer.save_steps=2")
    compute = ExampleTrainer.compute_loss

    def computed(self: ExampleTrainer, *arguments: Any, **named: Any) -> Any:
        loss = compute(self, *arguments, **named)
        if self.state.global_step == 5:
            with torch.no_grad():
                break_weights(self.model)
        return loss

    monkeypatch.setattr(ExampleTrainer, "compute_loss", computed)
    with pytest.raises(TrainingDiverged, match=r"step 6: expected finite weights.*checkpoint-4, the last good"):
        src.train.run(config)
    kept = {path.name for path in Path(config.folder).glob("checkpoints/checkpoint-*")}
    assert kept == {"checkpoint-2", "checkpoint-4"}


def test_a_nan_loss_is_reported_with_its_own_step(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compute = ExampleTrainer.compute_loss

    def computed(self: ExampleTrainer, *arguments: Any, **named: Any) -> Any:
        loss = compute(self, *arguments, **named)
        if self.state.global_step == 4:
            self.losses[-1] = loss.detach() * math.nan
        return loss

    monkeypatch.setattr(ExampleTrainer, "compute_loss", computed)
    with pytest.raises(SystemExit) as left, handle_errors():
        src.train.run(tiny_config("trainer.precision=bf16"))
    assert left.value.code == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith("step 5: expected a training loss that is a finite number, found nan; the learning rate")
    assert "or bf16 too coarse" in sentence and "trainer.precision=fp32" in sentence


def test_an_encoder_with_equal_similarities_is_refused_before_the_training(
    tiny_config: TinyConfig, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_encoder_folder, tmp_path / "collapsed")
    encoder = SentenceTransformer(str(folder), device="cpu")
    with torch.no_grad():
        collapse(encoder)
    encoder.save_pretrained(str(folder), create_model_card=False)
    with pytest.raises(
        TrainingDiverged,
        match=r"the base encoder: expected similarities that differ between pairs, found 1 to 1 for all 40",
    ):
        src.train.run(tiny_config(f"model.path={folder}"))


def test_a_loss_that_is_zero_in_all_steps_is_told_once(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compute_loss = CosineSimilarityLoss.compute_loss_from_embeddings

    def no_loss(self: CosineSimilarityLoss, *arguments: Any) -> torch.Tensor:
        return compute_loss(self, *arguments) * 0

    monkeypatch.setattr(CosineSimilarityLoss, "compute_loss_from_embeddings", no_loss)
    src.train.run(tiny_config("trainer.precision=fp32"))
    assert capsys.readouterr().out.count("the training loss was 0 in all steps up to 3: nothing has been learnt") == 1


def test_losses_that_are_zero_after_a_resume_are_no_reason_for_a_warning(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config("trainer.precision=fp32")
    killed_at(6, config, monkeypatch)
    compute_loss = CosineSimilarityLoss.compute_loss_from_embeddings
    monkeypatch.setattr(
        CosineSimilarityLoss, "compute_loss_from_embeddings", lambda *arguments: compute_loss(*arguments) * 0
    )
    src.train.run(config)
    assert "nothing has been learnt" not in capsys.readouterr().out
