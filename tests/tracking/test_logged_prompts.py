"""Prompts of a logged model: in its signature, in requests, and in its folder."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.entities import LoggedModel
from sentence_transformers import SentenceTransformer

from src.config.model import HubEncoder
from src.encoder import load_encoder
from src.encoder.prompts import column_prompts
from src.tracking.registry import EXAMPLE, save_logged_model


@pytest.fixture(scope="module")
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    prompts = {"query": "질문: ", "passage": "문서: "}
    columns = {"sentence1": "query", "sentence2": "passage"}
    settings = {"prompts": prompts, "default_prompt_name": "passage", "column_prompts": columns}
    return load_encoder(HubEncoder(path=str(tiny_encoder_folder), **settings))


@pytest.fixture(scope="module")
def logged(encoder: SentenceTransformer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logged") / "model"
    save_logged_model(encoder, LoggedModel("0", "m-1", "tiny", folder.as_uri(), 0, 0), "run", folder)
    return folder


def test_a_request_can_name_a_prompt(encoder: SentenceTransformer, logged: Path) -> None:
    served = mlflow.pyfunc.load_model(str(logged))
    for params, expected in (
        (None, encoder.encode(EXAMPLE, prompt_name="passage")),
        ({"prompt_name": "query"}, encoder.encode(EXAMPLE, prompt_name="query")),
        ({"prompt": "제목: "}, encoder.encode(EXAMPLE, prompt="제목: ")),
        ({"prompt": ""}, encoder.encode(EXAMPLE, prompt="")),
        (
            {"prompt_name": "query", "normalize_embeddings": True, "truncate_dim": 8},
            encoder.encode(EXAMPLE, prompt_name="query", normalize_embeddings=True, truncate_dim=8),
        ),
    ):
        np.testing.assert_allclose(served.predict(EXAMPLE, params), expected, atol=1e-6)


def test_the_logged_folder_has_the_prompts_of_columns(encoder: SentenceTransformer, logged: Path) -> None:
    loaded = load_encoder(HubEncoder(path=str(logged / "model.sentence_transformer")))
    assert column_prompts(loaded) == column_prompts(encoder)
    assert loaded.prompts == encoder.prompts
