"""Models that `model=` can name, and errors for other values."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import src.train
from src.config import Config
from src.prediction.encoder import load_model
from src.utils.errors import UserError

SENTENCE = "방이 넓고 조용해요"


def test_an_experiment_folder_and_a_model_folder_load_the_same_model(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder_folder, tmp_path / "experiment" / "model")
    experiment = load_model(str(tmp_path / "experiment"), "").encode(SENTENCE)
    np.testing.assert_array_equal(experiment, load_model(str(tmp_path / "experiment" / "model"), "").encode(SENTENCE))


def test_the_input_length_is_the_models_own(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    encoder = load_model(str(tiny_encoder_folder), "")
    encoder.max_seq_length = 300
    encoder.save_pretrained(str(tmp_path / "long"))
    assert load_model(str(tmp_path / "long"), "").max_seq_length == 300


def test_a_registered_version_loads_the_trained_model(tiny_config: Callable[..., Config], tmp_path: Path) -> None:
    config = tiny_config()
    address = f"models:/tiny/{src.train.run(config).model_version}"
    trained = load_model(config.folder, "").encode(SENTENCE)
    store = set(tmp_path.rglob("*"))
    np.testing.assert_array_equal(load_model(address, config.tracking.uri).encode(SENTENCE), trained)
    assert set(tmp_path.rglob("*")) == store
    for wrong in ("models:/tiny/99", "models:/none/1", "models:/tiny@best", "models:/tiny", "models:/"):
        with pytest.raises(UserError, match=rf"model={wrong}: expected a registered model") as caught:
            load_model(wrong, config.tracking.uri)
        assert "\n" not in str(caught.value)


def test_a_missing_store_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found no such file"):
        load_model("models:/tiny/1", f"sqlite:///{tmp_path}/none.db")
    assert not list(tmp_path.iterdir())


def test_an_unreachable_server_is_reported_in_one_sentence() -> None:
    with pytest.raises(UserError, match=r"models:/tiny/1: expected a registered model in http://127\.0\.0\.1:9,"):
        load_model("models:/tiny/1", "http://name:secret@127.0.0.1:9")


def test_a_hub_name_is_loaded_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"expected nobody/no-such-model .* set model=FOLDER"):
        load_model("nobody/no-such-model", "")


def test_the_embedded_encoder_is_loaded_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_model("e5_small_ko", "").encode("방").shape == (384,)


def test_a_path_without_a_model_is_reported(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "experiments" / "unfinished").mkdir(parents=True)
    (tmp_path / "file").touch()
    broken = shutil.copytree(tiny_encoder_folder, tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    refused = {
        "experiments/unfinished": "found neither: train the experiment to its end",
        "experiments/missing": "found nothing",
        "none": "found nothing",
        "file": "found a file",
        "broken": r"expected \*\.safetensors .* set model to a folder",
    }
    for name, words in refused.items():
        with pytest.raises(UserError, match=words):
            load_model(str(tmp_path / name), "")


def test_a_missing_experiment_is_not_searched_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="found nothing"):
        load_model("experiments/missing", "")
