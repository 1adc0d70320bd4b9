import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from socket import create_server

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models
from torch import nn
from transformers import AutoModel

from src.config.model import HubEncoder
from src.encoder import base_of, hub, load_encoder
from src.encoder import folder as folder_module
from src.utils.errors import UserError

NAME = "someone/some-model"


@pytest.fixture
def folder(tiny_encoder_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder_folder, tmp_path / "my-model"))


@pytest.fixture
def hf_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    return tmp_path / "hf"


def in_folder(folder: Path, **settings: object) -> HubEncoder:
    return HubEncoder(path=str(folder), **settings)  # type: ignore[arg-type]


def test_a_folder_gives_the_same_embeddings_as_sentence_transformers(folder: Path) -> None:
    ours = load_encoder(in_folder(folder)).encode(["조용한 방", "넓은 침대"])
    np.testing.assert_array_equal(ours, SentenceTransformer(str(folder)).encode(["조용한 방", "넓은 침대"]))


def test_a_plain_transformers_folder_gets_mean_pooling(folder: Path) -> None:
    expected = load_encoder(in_folder(folder)).encode("조용한 방")
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    shutil.rmtree(folder / "1_Pooling")
    np.testing.assert_allclose(load_encoder(in_folder(folder)).encode("조용한 방"), expected, atol=1e-6)


def test_input_length_and_dropout_are_set(folder: Path) -> None:
    encoder = load_encoder(in_folder(folder, max_length=7, dropout=0.25))
    assert len(encoder.tokenize(["아주 긴 문장을 넣어 봅니다"])["input_ids"][0]) == 7
    assert {module.p for module in encoder.modules() if isinstance(module, nn.Dropout)} == {0.25}
    config = encoder[0].model.config
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.25, 0.25)


def test_without_a_dropout_rate_the_models_own_is_kept(folder: Path) -> None:
    encoder = load_encoder(in_folder(folder))
    assert {module.p for module in encoder.modules() if isinstance(module, nn.Dropout)} == {0.1}


def test_half_precision_weights_become_float32(folder: Path) -> None:
    SentenceTransformer(str(folder)).half().save_pretrained(str(folder / "half"), create_model_card=False)
    assert {weight.dtype for weight in load_encoder(in_folder(folder / "half")).parameters()} == {torch.float32}


def test_more_tokens_than_positions_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"model\.max_length must be at most 512"):
        load_encoder(in_folder(folder, max_length=513))


def test_the_error_for_a_missing_folder_names_it() -> None:
    with pytest.raises(UserError, match=r"model\.path=/nowhere/at/all"):
        load_encoder(HubEncoder(path="/nowhere/at/all"))


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_the_error_for_an_incomplete_folder_names_the_missing_part(missing: str, folder: Path) -> None:
    (folder / missing).unlink()
    with pytest.raises(UserError, match=missing.split(".")[0].replace("model", "safetensors")):
        load_encoder(in_folder(folder))


def test_pickled_weights_are_refused_and_the_advice_converts_them(folder: Path) -> None:
    expected = load_encoder(in_folder(folder)).encode("조용한 방")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="pickle") as error:
        load_encoder(in_folder(folder))
    advice = str(error.value).split("`")[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(advice, shell=True, check=True, env={**os.environ, "PATH": path})
    np.testing.assert_array_equal(load_encoder(in_folder(folder)).encode("조용한 방"), expected)


def test_a_model_in_a_subfolder_is_found(folder: Path) -> None:
    inner = folder / "0_Transformer"
    inner.mkdir()
    for path in list(folder.glob("*")):
        if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(inner / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert load_encoder(in_folder(folder)).encode("방").shape == (32,)


def test_code_that_comes_with_a_model_is_not_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match="my-model"):
        load_encoder(in_folder(folder))
    assert not (folder / "ran").exists()


def test_a_model_in_the_cache_is_loaded_without_a_request_to_the_hub(
    folder: Path, hf_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0" * 40
    shutil.copytree(folder, hf_cache / f"models--{NAME.replace('/', '--')}" / "snapshots" / commit)
    monkeypatch.setattr(hub, "hub_reachable", lambda: pytest.fail("sent a request to the Hub"))
    assert load_encoder(HubEncoder(name=NAME, revision=commit)).encode("방").shape == (32,)


@pytest.mark.usefixtures("hf_cache")
def test_an_unreachable_hub_is_reported_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UserError) as error:
            load_encoder(HubEncoder(name=NAME))
    for advice in (NAME, "model.path=FOLDER", "HF_HOME", "model=e5_small_ko"):
        assert advice in str(error.value)


@pytest.mark.usefixtures("hf_cache")
def test_a_model_missing_on_the_hub_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, local_files_only: bool = False, **__: object) -> str:
        raise OSError("401 Client Error\nmore lines")

    monkeypatch.setattr(hub, "hub_reachable", lambda: True)
    monkeypatch.setattr(hub, "snapshot_download", absent)
    with pytest.raises(UserError, match=r"401 Client Error\. Check its name and revision"):
        load_encoder(HubEncoder(name=NAME, revision="abc"))


@pytest.mark.usefixtures("hf_cache")
def test_the_base_of_a_hub_model_is_its_page() -> None:
    base = base_of(HubEncoder(name=NAME, revision="abc"))
    assert (base.name, base.revision, base.license) == (NAME, "abc", None)


def test_the_base_of_a_folder_has_the_licence_of_its_card(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Mine\n")
    base = base_of(in_folder(folder))
    assert (base.name, base.license) == ("my-model", "apache-2.0")


def test_a_tokenizer_larger_than_the_embedding_table_is_refused(folder: Path) -> None:
    transformer = AutoModel.from_pretrained(folder)
    transformer.resize_token_embeddings(500)
    transformer.save_pretrained(folder)
    with pytest.raises(UserError, match=r"found 11,\d\d\d tokens and 500 rows"):
        load_encoder(in_folder(folder))


def test_a_table_larger_than_the_tokenizer_is_padding(folder: Path) -> None:
    transformer = AutoModel.from_pretrained(folder)
    transformer.resize_token_embeddings(12_000)
    transformer.save_pretrained(folder)
    assert load_encoder(in_folder(folder)).encode("방").shape == (32,)


def test_static_embeddings_load_and_those_with_too_few_rows_are_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "방": 1}, unk_token="[UNK]"))
    for rows in (2, 1):
        module = StaticEmbedding(tokenizer, torch.ones(rows, 4))
        SentenceTransformer(modules=[module], device="cpu").save_pretrained(str(tmp_path / str(rows)))
    assert load_encoder(in_folder(tmp_path / "2")).encode("방").shape == (4,)
    with pytest.raises(UserError, match="found 2 tokens and 1 rows"):
        load_encoder(in_folder(tmp_path / "1"))
    with pytest.raises(UserError, match=r"model\.max_length must be empty for this model, found 9"):
        load_encoder(in_folder(tmp_path / "2", max_length=9))


def test_a_tokenizer_that_is_a_sentencepiece_file_alone_names_the_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(b"")
    monkeypatch.setattr(folder_module, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"reads sentencepiece\.bpe\.model.*run `pip install sentencepiece`"):
        load_encoder(in_folder(folder))
