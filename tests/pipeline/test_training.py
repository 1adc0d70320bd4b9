"""A training that is killed, moved, linked elsewhere or in trouble with the clock ends as if undisturbed."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
from mlflow import MlflowClient

import src.report.files
import src.train
from src.config import Config
from src.data import load_examples
from src.encoder import load_encoder
from src.evaluation.evaluate import Evaluation, evaluate_sets
from src.evaluation.metrics import SPEARMAN
from src.evaluation.result import Result
from src.pipeline.training import run_training
from src.tracking.run import Run
from src.training.checkpoints import CHECKPOINTS
from src.training.trainer import ExampleTrainer
from src.utils.errors import UserError
from src.utils.files import file_digest

TinyConfig = Callable[..., Config]
BEST = (
    *("trainer.precision=fp32", "trainer.keep=best", "tracking.models=false"),
    *("trainer.learning_rate=0.1", "trainer.seed=44"),  # best at the first evaluation, and far worse after it
)


class Killed(BaseException):
    """Stands for kill -9: no handler of the project runs."""


def killed_at(step: int, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    save = ExampleTrainer._save_checkpoint

    def killed(self: ExampleTrainer, *arguments: object) -> None:
        save(self, *arguments)
        if self.state.global_step == step:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ExampleTrainer, "_save_checkpoint", killed)
        src.train.run(config)


def outcome(folder: Path) -> tuple[Any, ...]:
    result = Result.load(folder)
    return result.scores, result.validation_loss, file_digest(folder / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(tiny_config_in: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """Outcome of a training that keeps a checkpoint before the one at which the others are killed."""
    config = tiny_config_in(tmp_path_factory.mktemp("undisturbed"), *BEST)
    result = src.train.run(config)
    curve = pd.read_csv(Path(config.folder) / "curve.csv")
    assert curve["spearman_cosine"].iloc[1:].idxmax() == 1 and result.steps > 6
    return outcome(Path(config.folder))


@pytest.mark.parametrize(("keep", "split"), [("last", "dev"), ("best", "dev"), ("last", "test")])
def test_the_latest_score_of_a_run_is_the_reported_one_after_its_curve(
    keep: str, split: str, tiny_config: TinyConfig
) -> None:
    config = tiny_config("trainer.precision=fp32", "trainer.learning_rate=0.1", f"trainer.keep={keep}")
    pairs = load_examples(config.data)
    pairs = replace(pairs, test=pairs.dev.select(range(20)) if split == "test" else None)
    result = run_training(config, pairs, load_encoder(config.model))
    curve = pd.read_csv(Path(config.folder) / "curve.csv")
    client = MlflowClient(config.tracking.uri)
    run = client.get_run(result.run_id)
    history = sorted(client.get_metric_history(result.run_id, SPEARMAN), key=lambda point: point.timestamp)
    points = [(point.step, point.value) for point in history]
    assert points[: len(curve)] == list(zip(curve["step"], curve[SPEARMAN], strict=True))
    assert set(points[len(curve) :]) == {(result.steps, result.leading.value)}
    assert {name: run.data.metrics[name] for name in result.reported} == result.reported
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert {each.key: each.value for each in model.metrics} == result.reported
    interval = f"{result.leading} on {len(pairs.reported)} {split} pairs of pairs.csv (files)"
    before = f"{result.before.value:.4f}{' on dev' if split == 'test' else ''} before training"
    assert run.data.tags["mlflow.note.content"] == f"Spearman {interval}, {before}."


def test_a_moved_project_resumes_with_its_best_checkpoint(
    tiny_config_in: TinyConfig, undisturbed: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    config = tiny_config_in(here, *BEST)
    killed_at(10, config, monkeypatch)  # after the last step, so that no later checkpoint finds the best one again
    here.rename(there)
    moved = tiny_config_in(there, *BEST)
    src.train.run(moved)
    assert outcome(Path(moved.folder)) == undisturbed
    assert not (here / "result").exists()


def test_linked_results_and_checkpoints_work_and_stay_links(
    tiny_config: TinyConfig, undisturbed: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, config = tmp_path / "disk", tiny_config(*BEST)
    folder = Path(config.folder)
    links = {folder: disk / "result", folder / "model": disk / "models" / "tiny", folder / CHECKPOINTS: disk / "large"}
    for link, target in links.items():
        target.mkdir(parents=True)
        link.symlink_to(target)
    killed_at(6, config, monkeypatch)
    assert (disk / "large" / "checkpoint-6").is_dir()
    src.train.run(config)
    assert outcome(folder) == undisturbed
    assert all(link.is_symlink() for link in links)
    assert (disk / "models" / "tiny" / "modules.json").is_file()
    assert not list((disk / "large").iterdir())


@pytest.mark.parametrize("moment", ["draw_plots", "log_model"])
def test_a_result_is_the_former_or_the_new_one_wherever_the_training_is_killed(
    moment: str, tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = ("trainer.precision=fp32", "trainer.max_steps=3", "tracking.models=false")
    former = src.train.run(tiny_config(*fast))
    folder = Path(tiny_config().folder)
    before = outcome(folder)

    def killed(*_: object, **__: object) -> None:
        raise Killed

    places: dict[str, Any] = {"draw_plots": src.report.files}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(places.get(moment, Run), moment, killed)
        src.train.run(tiny_config(*fast, "trainer.seed=1"))
    after, found = outcome(folder), Result.load(folder)
    assert (after == before) == (found.run_id == former.run_id) == (moment in places)
    resumed = src.train.run(tiny_config(*fast, "trainer.seed=1"))
    assert resumed.run_id != former.run_id
    if moment not in places:
        assert resumed.run_id == found.run_id and outcome(folder) == after
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_the_base_encoder_is_evaluated_with_the_configured_threads(tiny_config: TinyConfig) -> None:
    former, found = torch.get_num_threads(), []

    def evaluate(*arguments: Any) -> Evaluation:
        found.append(torch.get_num_threads())
        return evaluate_sets(*arguments)

    config = tiny_config("trainer.threads=1", "trainer.max_steps=3", "tracking.models=false")
    try:
        torch.set_num_threads(2)
        run_training(config, load_examples(config.data), load_encoder(config.model), evaluate_base=evaluate)
    finally:
        torch.set_num_threads(former)
    assert found == [1]


def test_a_clock_that_runs_backwards_gives_no_negative_durations(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: 4e9)
    result = src.train.run(tiny_config("trainer.precision=fp32", "trainer.max_steps=3", "tracking.models=false"))
    assert result.startup_seconds == 0.0
    assert min(result.train_seconds, result.evaluation_seconds, result.pairs_per_second) > 0


def test_a_damaged_best_checkpoint_is_one_sentence_and_the_next_try_does_without(
    tiny_config: TinyConfig, undisturbed: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(*BEST)
    load = ExampleTrainer._load_best_model

    def damaging(self: ExampleTrainer) -> None:
        os.truncate(Path(self.state.best_model_checkpoint) / "model.safetensors", 100)
        load(self)

    with (
        monkeypatch.context() as patch,
        pytest.raises(UserError, match=r"checkpoint-3: expected the best checkpoint as it was written, found damage"),
    ):
        patch.setattr(ExampleTrainer, "_load_best_model", damaging)
        src.train.run(config)
    src.train.run(config)
    assert outcome(Path(config.folder)) == undisturbed
