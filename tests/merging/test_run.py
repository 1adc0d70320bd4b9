"""Merged models: their weights, their result, and the choice of the weight on examples that are not reported."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from sentence_transformers import SentenceTransformer

import src.compare
from src.config import Config
from src.config.evaluation import EvaluateConfig, MergeConfig, SuiteConfig
from src.config.tracking import TrackingConfig
from src.data import load_examples
from src.data.sentences import FILE, load_digests, save_digests, sentence_digests
from src.encoder import load_encoder
from src.evaluation.result import Result
from src.merging import run_merge
from src.merging.weights import KEPT, OTHERS, OWN, parts_to_choose_on
from src.pipeline import run_experiment
from src.pipeline.reproduce import reproduce
from src.prediction.encoder import load_model
from src.suite import run_evaluation
from src.suite.sets import load_sets
from src.utils.errors import UserError


@pytest.fixture(scope="module")
def trained(tiny_config_in: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> list[Config]:
    """Settings of two finished trainings of the tiny encoder with other seeds; 24 pairs are dev."""
    folder = tmp_path_factory.mktemp("trained")
    configs = []
    for seed in (1, 2):
        given = ["trainer.learning_rate=1e-2", "trainer.eval_steps=30", "selection='Chosen on other pairs.'"]
        config = tiny_config_in(folder, *given, f"trainer.seed={seed}")
        configs.append(replace(config, folder=str(folder / f"seed{seed}"), data=replace(config.data, dev=None)))
        run_experiment(configs[-1], load_examples(configs[-1].data))
    return configs


@pytest.fixture
def settings(trained: list[Config], tmp_path: Path) -> Callable[..., MergeConfig]:
    def made(**values: object) -> MergeConfig:
        tracking = TrackingConfig(
            uri=trained[0].tracking.uri, artifacts=trained[0].tracking.artifacts, system_metrics=False
        )
        defaults = {"model": trained[0].folder, "threads": 1, "tracking": tracking, "folder": str(tmp_path / "merged")}
        return MergeConfig(**(defaults | values))

    return made


def weights(encoder: SentenceTransformer) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in encoder.state_dict().values()])


def test_weights_lie_between_those_of_the_model_and_its_base(
    settings: Callable[..., MergeConfig], trained: list[Config]
) -> None:
    config = settings(weight=0.25)
    result = run_merge(config)
    merged, model, base = (
        weights(encoder)
        for encoder in (
            load_model(config.folder, ""),
            load_model(trained[0].folder, ""),
            load_encoder(trained[0].model),
        )
    )
    assert torch.allclose(merged, 0.25 * model + 0.75 * base, atol=1e-7)
    assert not torch.allclose(model, base, atol=1e-3)
    former = Result.load(Path(trained[0].folder))
    assert (result.experiment, result.dev_pairs, result.evaluated_digest) == (
        "tiny_merged",
        former.dev_pairs,
        former.evaluated_digest,
    )
    assert result.gain and result.gain.value == pytest.approx(result.leading.value - result.before.value)
    assert result == Result.load(Path(config.folder))


def test_a_merged_model_is_a_result_like_any_other(
    settings: Callable[..., MergeConfig], trained: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings(weight=0.5)
    result, folder, uri = run_merge(config), Path(config.folder), trained[0].tracking.uri
    card = (folder / "model" / "README.md").read_text()
    assert "Its weights are 0.5 times those of" in card and "plus 0.5 times those of its base encoder" in card
    assert "Chosen on other pairs." in card
    assert np.array_equal(load_digests(folder), load_digests(Path(trained[0].folder)))
    run = MlflowClient(uri).get_run(result.run_id)
    assert (run.info.status, run.data.tags["role"], "recipe" in run.data.tags) == ("FINISHED", "merge", False)
    assert run.data.metrics["spearman_cosine"] == result.leading.value
    (difference,) = src.compare.run([trained[0].folder, str(folder)], uri)
    assert difference.estimate.value == pytest.approx(
        result.leading.value - Result.load(Path(trained[0].folder)).leading.value
    )
    evaluated = run_evaluation(
        EvaluateConfig(
            model=f"models:/tiny_merged/{result.model_version}",
            against=[trained[0].folder],
            suite=SuiteConfig(sets=[{"name": "dev", "dev": trained[0].data.train}]),
            threads=1,
            tracking=config.tracking,
        )
    )
    assert list(evaluated.models) == [f"tiny_merged/{result.model_version}", "seed1"]
    with pytest.raises(UserError, match="expected a training, found merged weights"):
        reproduce(str(folder), uri)


def test_the_mean_of_several_models_needs_no_base(settings: Callable[..., MergeConfig], trained: list[Config]) -> None:
    config = settings(model=[one.folder for one in trained], base=None, name="both")
    result = run_merge(config)
    merged, *models = (weights(load_model(folder, "")) for folder in (config.folder, *config.model))
    assert torch.allclose(merged, sum(models) / 2, atol=1e-7)
    assert result.experiment == "both"
    assert result.train_seconds == pytest.approx(sum(Result.load(Path(one.folder)).train_seconds for one in trained))


OTHER = {"name": "project_match", "source": "project_match", "train_pairs": 100, "dev_pairs": 20, "test_pairs": 20}


def test_the_weight_is_chosen_on_parts_of_train_and_the_choice_is_kept(
    settings: Callable[..., MergeConfig], trained: list[Config]
) -> None:
    config = settings(weight="auto", suite=SuiteConfig(sets=[OTHER]), keep=0.6, choose_pairs=40)
    result = run_merge(config)
    table = pd.read_csv(Path(config.folder) / "weights.csv", index_col="weight")
    assert list(table.index) == pytest.approx(np.linspace(0, 1, 11))
    assert list(table) == [OWN, "project_match", OTHERS, KEPT]
    chosen = float(table[OTHERS][table[KEPT] >= 0.6].idxmax())
    assert table.loc[1.0, KEPT] == pytest.approx(1.0) and table.loc[0.0, KEPT] == pytest.approx(0.0)
    (run,) = [MlflowClient(config.tracking.uri).get_run(result.run_id)]
    assert run.data.tags["merge.weights"].startswith(f"{chosen:g} times those of")
    assert "weights.csv" in {each.path for each in MlflowClient(config.tracking.uri).list_artifacts(result.run_id)}
    assert "own train" in (Path(config.folder) / "train.log").read_text()
    run_merge(settings(weight=0.5))
    assert not (Path(config.folder) / "weights.csv").exists()


def test_nothing_that_is_reported_is_chosen_on(settings: Callable[..., MergeConfig], trained: list[Config]) -> None:
    examples = load_examples(trained[0].data)
    sets, _ = load_sets(SuiteConfig(sets=[OTHER]))
    seen = sentence_digests([examples.train])
    parts = parts_to_choose_on(examples, sets, seen, settings(weight="auto", choose_pairs=40))
    reported = sentence_digests([examples.dev, *(one.examples for one in sets)])
    for part in parts:
        assert len(part.examples) >= 10
        assert not np.isin(sentence_digests([part.examples]), reported).any()
    again = parts_to_choose_on(examples, sets, seen, settings(weight="auto", choose_pairs=40))
    assert [one.examples[:] for one in parts] == [one.examples[:] for one in again]


def test_a_part_without_a_metric_chooses_nothing(
    settings: Callable[..., MergeConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def collapsed(encoder: SentenceTransformer, parts: list, *_: object) -> dict[str, object]:
        return {one.name: SimpleNamespace(leading=0.5 if one.name == OWN else np.nan) for one in parts}

    monkeypatch.setattr("src.merging.weights.score", collapsed)
    with pytest.raises(UserError, match=r"part of every train split, found none on \['project_match'\]"):
        run_merge(settings(weight="auto", suite=SuiteConfig(sets=[OTHER]), choose_pairs=40))
    assert not (tmp_path / "merged").exists()


def test_a_set_that_the_model_was_trained_on_decides_nothing(
    settings: Callable[..., MergeConfig], trained: list[Config], tmp_path: Path
) -> None:
    pairs = trained[0].data.train
    dev = tmp_path / "dev.csv"
    dev.write_text("sentence1,sentence2,score\n" + "\n".join(f"바다 {i},산 {i},{i / 5}" for i in range(5)))
    own = {"name": "own", "train": pairs, "dev": str(dev)}
    with pytest.raises(
        UserError,
        match=r"at least one set of the suite that the model was not trained on, found 18 examples and those of \[\]",
    ):
        run_merge(settings(weight="auto", suite=SuiteConfig(sets=[own]), choose_pairs=40))


def test_a_set_that_cannot_be_divided_is_left_out(
    settings: Callable[..., MergeConfig], trained: list[Config], tmp_path: Path
) -> None:
    connected, dev = tmp_path / "connected.csv", tmp_path / "dev.csv"
    connected.write_text("sentence1,sentence2,score\n" + "\n".join(f"바다,산 {i},{i / 20}" for i in range(20)))
    dev.write_text("sentence1,sentence2,score\n" + "\n".join(f"강 {i},들 {i},{i / 5}" for i in range(5)))
    sets, _ = load_sets(SuiteConfig(sets=[OTHER, {"name": "bad", "train": str(connected), "dev": str(dev)}]))
    examples = load_examples(trained[0].data)
    config = settings(weight="auto", choose_pairs=40)
    parts = parts_to_choose_on(examples, sets, sentence_digests([examples.train]), config)
    assert [one.name for one in parts] == [OWN, "project_match"]


def test_mistakes_are_told_before_anything_is_written(
    settings: Callable[..., MergeConfig], trained: list[Config], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="expected the folder of a finished experiment"):
        run_merge(settings(model=str(tmp_path)))
    with pytest.raises(UserError, match=r"^base=.*none: expected an experiment folder or a model folder"):
        run_merge(settings(base=str(tmp_path / "none")))
    with pytest.raises(UserError, match="expected another folder than those of the models"):
        run_merge(settings(folder=trained[0].folder))
    copy = tmp_path / "copy"
    shutil.copytree(trained[0].folder, copy)
    values = json.loads((copy / "metrics.json").read_text()) | {"evaluated_digest": "0" * 36}
    (copy / "metrics.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"copy: expected the dev examples of its result \(files\), found others"):
        run_merge(settings(model=str(copy)))
    shutil.copy(Path(trained[0].folder) / "metrics.json", copy)
    for content in (b"", b"a,b\n1,2\n", b"\xff\xfe", (copy / "curve.csv").read_bytes().replace(b"1.0", b"x")):
        (copy / "curve.csv").write_bytes(content)
        with pytest.raises(UserError, match=r"curve\.csv: expected the curve of a training, found"):
            run_merge(settings(model=str(copy)))
    shutil.copytree(trained[0].folder, tmp_path / "orphan")
    recorded = (tmp_path / "orphan" / "config.yaml").read_text()
    path = f"path: {trained[0].model.path}"
    (tmp_path / "orphan" / "config.yaml").write_text(recorded.replace(path, "path: /gone"))
    with pytest.raises(UserError, match=r"orphan: expected its base encoder in /gone, found no folder: restore it"):
        run_merge(settings(model=str(tmp_path / "orphan"), base=trained[1].folder))
    with pytest.raises(UserError, match="expected different experiments, found one twice"):
        run_merge(settings(model=[trained[0].folder, f"{trained[0].folder}/model"], base=None))
    with pytest.raises(UserError, match="weight must be between 0 and 1, or auto, found True"):
        settings(weight=True)
    with pytest.raises(UserError, match="of the suite that the model was not trained on"):
        run_merge(settings(weight="auto", suite=SuiteConfig(sets=[trained[0].data.train])))
    assert not (tmp_path / "merged").exists()


def test_a_merge_with_another_training_has_seen_what_both_have(
    settings: Callable[..., MergeConfig], trained: list[Config], tmp_path: Path
) -> None:
    other, digests = tmp_path / "other", np.array([7, 8], dtype=np.uint64)
    shutil.copytree(trained[1].folder, other)
    (other / FILE).unlink()
    save_digests(digests, other / FILE)
    config = settings(base=str(other))
    run_merge(config)
    own = load_digests(Path(trained[0].folder))
    assert np.array_equal(load_digests(Path(config.folder)), np.union1d(own, digests))
    card = (Path(config.folder) / "model" / "README.md").read_text()
    assert "plus 0.5 times those of /" in card
