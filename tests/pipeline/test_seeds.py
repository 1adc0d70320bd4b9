"""Several seeds of one training: one run, a child for each seed, and the summary."""

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from mlflow import MlflowClient
from mlflow.entities import Run

import src.train
from src.config import BenchSettings, Config, SweepSettings
from src.config.data import Mixture
from src.data import load_examples
from src.evaluation.evaluate import Evaluation
from src.packing import tokens
from src.pipeline import base, run_experiment, seeds
from src.report.files import OF_FORMER_MODEL
from src.tracking import PARENT, RECIPE
from src.training.trainer import ExampleTrainer
from src.utils.errors import UserError
from tests.conftest import write_pairs
from tests.test_triplets import write_triplets

TinyConfig = Callable[..., Config]
SEEDS, FP32, SUITE = "trainer.seeds=[1,2]", "trainer.precision=fp32", "trainer.evaluate_suite=true"


class Finished(NamedTuple):
    """A training with two seeds that was killed during the second one and started again."""

    config: Config
    metrics: dict[str, Any]
    before: dict[Path, int]
    """When the files of the first seed were written, as of the kill."""
    refused: str
    """The error of another configuration in between."""
    printed: str
    client: MlflowClient


class Killed(BaseException):
    """Stands for kill -9: no handler of the project runs."""


def killed(*_: object, **__: object) -> None:
    raise Killed


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tiny_config_in: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    config = tiny_config_in(tmp_path_factory.mktemp("seeds"), SEEDS, FP32)
    save, printed = ExampleTrainer._save_checkpoint, StringIO()

    def killed_at_save(self: ExampleTrainer, *arguments: object) -> None:
        save(self, *arguments)
        if self.state.global_step == 6 and self.args.seed == 2:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ExampleTrainer, "_save_checkpoint", killed_at_save)
        src.train.run(config)
    before = times(Path(config.folder) / "seeds" / "1")
    with pytest.raises(UserError) as refused:
        src.train.run(tiny_config_in(Path(config.folder).parent, "trainer.seeds=[1,3]", FP32))
    for name in OF_FORMER_MODEL:
        (Path(config.folder) / name).write_text("on the model of a training with one seed")
    with redirect_stdout(printed):
        src.train.run(config)
    metrics = json.loads((Path(config.folder) / "metrics.json").read_text(encoding="utf-8"))
    client = MlflowClient(config.tracking.uri)
    return Finished(config, metrics, before, str(refused.value), printed.getvalue(), client)


def runs(finished: Finished, role: str) -> list[Run]:
    experiment = finished.client.get_experiment_by_name("tiny").experiment_id
    return list(finished.client.search_runs([experiment], f"tags.role = '{role}'", order_by=["attributes.start_time"]))


def read(finished: Finished, seed: int) -> dict[str, Any]:
    path = Path(finished.config.folder) / "seeds" / str(seed) / "metrics.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_after_a_kill_a_finished_seed_is_not_trained_again(finished: Finished) -> None:
    assert finished.before and times(Path(finished.config.folder) / "seeds" / "1") == finished.before
    assert "run with other settings (trainer.seeds was [1, 2], is [1, 3])" in finished.refused
    (parent,) = runs(finished, "seeds")
    children = runs(finished, "seed")
    assert [child.info.run_name for child in children] == ["seed 1", "seed 2"]
    assert {child.data.tags[PARENT] for child in children} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    recipes = {child.data.tags[RECIPE] for child in children}
    assert len(recipes) == 1 and recipes.pop().endswith("lr 0.001, warmup 0.1, 1 epoch, batch 4, tiny")
    assert RECIPE not in parent.data.tags
    summary = f"{finished.metrics['spearman_cosine_mean']:.4f} ["
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith(f"Spearman {summary}") and "], mean of 2 seeds, on 40 dev pairs of pairs.csv" in note
    history = finished.client.get_metric_history(children[1].info.run_id, "validation_loss")
    assert sorted({point.step for point in history}) == [0, 3, 6, 9, 10]


def test_mean_deviation_and_interval_come_from_all_seeds(finished: Finished) -> None:
    metrics = finished.metrics
    each = [read(finished, seed)["spearman_cosine"] for seed in (1, 2)]
    assert each[0] != each[1]
    assert metrics["spearman_cosine_mean"] == pytest.approx(np.mean(each))
    assert metrics["spearman_cosine_deviation"] == pytest.approx(abs(each[0] - each[1]) / np.sqrt(2))
    assert metrics["spearman_cosine_mean_low"] < min(each) < max(each) < metrics["spearman_cosine_mean_high"]
    (parent,) = runs(finished, "seeds")
    assert metrics["parent_run_id"] == parent.info.run_id
    recorded = {name: parent.data.metrics[name] for name in ("spearman_cosine", "spearman_cosine_low")}
    assert recorded == {
        "spearman_cosine": metrics["spearman_cosine_mean"],
        "spearman_cosine_low": metrics["spearman_cosine_mean_low"],
    }
    assert f"mean {np.mean(each):.4f} [" in finished.printed and "already trained" in finished.printed


def test_the_folder_holds_the_result_of_the_first_seed_and_the_registry_its_model(finished: Finished) -> None:
    folder, first = Path(finished.config.folder), read(finished, 1)
    assert not any((folder / name).exists() for name in OF_FORMER_MODEL)
    assert {name: finished.metrics[name] for name in first} == first
    for name in ("model/model.safetensors", "predictions.parquet", "curve.csv", "config.yaml", "plots/curve.png"):
        assert (folder / name).read_bytes() == (folder / "seeds" / "1" / name).read_bytes()
    assert (first["model_version"], read(finished, 2)["model_version"]) == ("1", None)
    table = pd.read_csv(folder / "seeds" / "seeds.csv")
    assert table["seed"].tolist() == [1, 2] and table["run_id"].iloc[0] == first["run_id"]
    assert not list(folder.rglob("*.tmp")) and json.loads((folder / "seeds" / "state.json").read_text())["done"] is True


def test_a_seed_among_others_gives_what_it_gives_alone(finished: Finished, tiny_config: TinyConfig) -> None:
    alone = src.train.run(tiny_config("trainer.seed=2", "tracking.models=false", FP32))
    again = read(finished, 2)
    assert (alone.leading.value, alone.validation_loss) == (again["spearman_cosine"], again["validation_loss"])


def test_the_base_encoder_is_evaluated_once_for_all_seeds(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, calls = base.evaluate_sets, []

    def counted(*arguments: Any) -> Evaluation:
        calls.append(arguments)
        return evaluate(*arguments)

    monkeypatch.setattr(base, "evaluate_sets", counted)
    config = tiny_config(SEEDS, "tracking.models=false", "trainer.seeds_result=average")
    examples = load_examples(config.data)
    run_experiment(config, replace(examples, test=examples.dev.select(range(20))))
    assert [len(next(iter(splits.values()))) for _, splits, *_ in calls] == [20, 40]  # test and dev, once each
    first, second = (pd.read_csv(Path(config.folder) / "seeds" / seed / "curve.csv").iloc[0] for seed in "12")
    pd.testing.assert_series_equal(first, second)


def test_texts_are_tokenised_once_for_all_seeds(tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenize, made = tokens._tokenize, []

    def counted(examples: Dataset, *others: Any) -> Any:
        made.append(examples)
        return tokenize(examples, *others)

    monkeypatch.setattr(tokens, "_tokenize", counted)
    src.train.run(tiny_config(SEEDS, "tracking.models=false"))
    assert made and len(made) == len({id(examples) for examples in made})


def test_corrected_settings_start_anew_where_nothing_would_be_lost(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(seeds, "train_seed", killed)
        src.train.run(tiny_config(SEEDS, "tracking.models=false"))
    result = src.train.run(tiny_config(SEEDS, "tracking.models=false", "trainer.learning_rate=2e-3"))
    assert result.seeds and result.seeds.count == 2


def test_means_of_other_sets_have_no_interval_of_the_first_seed(tiny_config: TinyConfig, tmp_path: Path) -> None:
    paths = {"nli": str(write_triplets(tmp_path / "nli.jsonl")), "sts": str(write_pairs(tmp_path / "sts.csv"))}
    sets = {name: {"train": path, "dev": path} for name, path in paths.items()}
    config = tiny_config(SEEDS, "trainer.max_steps=3", "tracking.models=false")
    config = replace(config, data=Mixture(sets=sets, primary="sts"))
    result = run_experiment(config, load_examples(config.data))
    assert result.seeds
    found = MlflowClient(config.tracking.uri).get_run(result.seeds.parent_run_id).data.metrics
    name = "nli/cosine_ndcg_at_10"
    assert found[name] == pytest.approx(result.seeds.means[name].value)
    assert f"{name}_low" not in found and "spearman_cosine_low" in found


def test_a_finished_seed_is_not_trained_again_where_another_store_knows_nothing_of_it(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tiny_config(SEEDS, "tracking.models=false")
    train_seed = seeds.train_seed

    def killed_second(config: Config, *others: Any) -> None:
        if config.trainer.seed == 2:
            raise Killed
        train_seed(config, *others)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(seeds, "train_seed", killed_second)
        src.train.run(config)
    src.train.run(tiny_config(SEEDS, "tracking.models=false", f"tracking.uri=sqlite:///{tmp_path}/another.db"))
    assert capsys.readouterr().out.count("already trained") == 1


@pytest.mark.parametrize("values", ["[1]", "[1,1]", "[-1,2]"])
def test_seeds_that_are_no_repetition_are_refused(values: str, tiny_config: TinyConfig) -> None:
    with pytest.raises(UserError, match=r"trainer\.seeds must be empty, or at least two different numbers"):
        tiny_config(f"trainer.seeds={values}")


@pytest.mark.parametrize("settings", [BenchSettings, SweepSettings])
@pytest.mark.parametrize(("given", "key"), [(SEEDS, "seeds must be empty"), (SUITE, "evaluate_suite must be false")])
def test_what_would_be_ignored_is_refused(
    given: str, key: str, settings: type[Config], tiny_config: TinyConfig
) -> None:
    with pytest.raises(UserError, match=rf"trainer\.{key} for a (benchmark|sweep)"):
        settings(**vars(tiny_config(given)))
