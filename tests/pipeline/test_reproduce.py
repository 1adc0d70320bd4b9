"""Training a recorded run again: the same curve, or a sentence with the reason."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from omegaconf import OmegaConf

import src.train
from src.config import Config
from src.data import load_examples
from src.data.examples import digest
from src.encoder import load_encoder
from src.pipeline.reproduce import check_provenance, curve_difference, reproduce, restore_config
from src.reproduce import verdict
from src.utils.errors import UserError

TinyConfig = Callable[..., Config]


def test_a_run_gives_the_same_curve_again_and_all_folders_are_left_alone(
    tiny_config: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("tracking.models=false", "trainer.max_steps=4", "trainer.precision=fp32")
    result = src.train.run(config)
    assert restore_config(Path(config.folder) / "config.yaml", tmp_path).trainer == config.trainer
    before = {path: path.stat().st_mtime_ns for path in Path(config.folder).rglob("*")}
    working_tree = tmp_path / "working_tree"
    working_tree.mkdir()
    monkeypatch.chdir(working_tree)
    assert reproduce(result.run_id, config.tracking.uri) == 0
    assert not list(working_tree.iterdir())
    assert {path: path.stat().st_mtime_ns for path in Path(config.folder).rglob("*")} == before
    client = MlflowClient(config.tracking.uri)
    assert len(client.search_runs([client.get_experiment_by_name("tiny").experiment_id])) == 1
    pairs = tmp_path / "pairs.csv"
    shutil.copy(pairs, tmp_path / "former.csv")
    pairs.write_text(pairs.read_text(encoding="utf-8").replace("1.0", "0.75", 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"expected the examples and versions .* training \w{36} there and \w{36} here"):
        reproduce(result.run_id, config.tracking.uri)


def test_the_verdict_says_how_far_two_curves_are_apart() -> None:
    columns = ["step", "spearman_cosine", "pearson_cosine", "validation_loss"]
    first = pd.DataFrame([[3, 0.7, 0.6, 0.1], [6, 0.8, 0.7, 0.1]], columns=columns)
    assert verdict(curve_difference(first, first)) == "The same curve, to the last digit."
    near = first.assign(spearman_cosine=first["spearman_cosine"] + 5e-5)
    assert "within 0.0001: the largest difference is 5e-05" in verdict(curve_difference(first, near))
    far = first.assign(pearson_cosine=0.0)
    assert verdict(curve_difference(first, far)).startswith("The curves differ: the largest difference is 0.7")
    assert verdict(curve_difference(first, first.iloc[:1])).startswith("The curves differ")


def test_a_curve_stored_without_step_0_is_compared_from_its_first_row() -> None:
    columns = ["step", "training_loss", "spearman_cosine", "pearson_cosine", "validation_loss"]
    again = pd.DataFrame(
        [[0, np.nan, 0.5, 0.4, 0.2], [3, 0.3, 0.7, 0.6, 0.1], [6, 0.2, 0.8, 0.7, 0.1]], columns=columns
    )
    stored = again.iloc[1:].reset_index(drop=True)
    assert curve_difference(again, again) == curve_difference(stored, again) == 0
    assert curve_difference(stored.assign(spearman_cosine=0.7), again) == pytest.approx(0.1)
    assert curve_difference(again, stored) == curve_difference(stored, again.iloc[:2]) == np.inf


def test_a_run_recorded_with_settings_that_are_gone_can_be_restored(tiny_config: TinyConfig, tmp_path: Path) -> None:
    settings = asdict(tiny_config())
    settings["trainer"] |= {"eval_steps": 0.25, "save_steps": 0, "joint_projections": True}
    for name in ("eval_every_epochs", "save_every_epochs"):
        del settings["trainer"][name]
    OmegaConf.save(OmegaConf.create(settings), tmp_path / "config.yaml")
    trainer = restore_config(tmp_path / "config.yaml", tmp_path).trainer
    assert (trainer.eval_every_epochs, trainer.eval_steps, trainer.save_steps) == (0.25, None, None)


def test_a_run_of_an_earlier_version_has_the_defaults_of_settings_that_it_did_not_record(
    tiny_config: TinyConfig, tmp_path: Path
) -> None:
    settings, path = asdict(tiny_config()), tmp_path / "config.yaml"
    for part, name in (("data", "quoting"), ("model", "prompts"), ("loss", "scale"), ("trainer", "layer_decay")):
        del settings[part][name]
    OmegaConf.save(OmegaConf.create(settings), path)
    restored = restore_config(path, tmp_path)
    assert (restored.data, restored.model, restored.loss) == (*map(vars(tiny_config()).get, ("data", "model", "loss")),)
    settings["data"]["unknown"] = 1
    OmegaConf.save(OmegaConf.create(settings), path)
    with pytest.raises(UserError, match=r"one of \['KlueSts', 'PairFiles', .*'unknown'"):
        restore_config(path, tmp_path)


def test_recorded_settings_may_name_a_base_encoder_that_is_gone(tiny_config: TinyConfig, tmp_path: Path) -> None:
    settings, path = asdict(tiny_config()), tmp_path / "config.yaml"
    settings["model"]["path"] = str(tmp_path / "gone")
    OmegaConf.save(OmegaConf.create(settings), path)
    model = restore_config(path, tmp_path).model
    with pytest.raises(UserError, match=r"a folder with a model at model\.path=.*gone, found none"):
        load_encoder(model)


def test_recorded_settings_are_not_resolved_and_wrong_ones_are_refused(tiny_config: TinyConfig, tmp_path: Path) -> None:
    settings = asdict(tiny_config())
    settings["data"]["license"] = "${oc.env:HOME}"
    path = tmp_path / "config.yaml"
    OmegaConf.save(OmegaConf.create(settings), path)
    assert restore_config(path, tmp_path).data.license == "${oc.env:HOME}"
    settings["trainer"]["unknown"] = 1
    OmegaConf.save(OmegaConf.create(settings), path)
    with pytest.raises(UserError, match=r"expected the settings of a run of this version.*unknown"):
        restore_config(path, tmp_path)


def test_other_test_examples_are_named(tiny_config: TinyConfig, tmp_path: Path) -> None:
    examples = load_examples(tiny_config().data)
    tested = replace(examples, test=examples.dev.select(range(20)))
    recorded = {"test": digest(tested.test)}
    check_provenance("one", recorded, tested)
    with pytest.raises(UserError, match=r"one: expected the examples .* test \w{36} there and \w{36} here"):
        check_provenance("one", recorded, replace(tested, test=examples.dev.select(range(10))))
