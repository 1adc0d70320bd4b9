"""Our evaluation gives the library's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

from src.config.training import TrainerConfig
from src.metrics.similarity import embed_pairs
from src.training.evaluation import evaluate
from src.training.losses import build_loss

PAIRS = Dataset.from_dict(
    {
        "sentence1": ["방이 깨끗해요", "위치가 좋아요", "방이 깨끗해요", "시끄러워요", "또 올게요"],
        "sentence2": ["청결한 방", "위치가 좋아요", "시끄러워요", "조용하지 않아요", "다시 안 와요"],
        "score": [0.9, 1.0, 0.0, 0.8, 0.3],
    }
)


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu")


def test_correlations_equal_the_librarys_evaluator(encoder: SentenceTransformer) -> None:
    columns = (list(PAIRS[name]) for name in ("sentence1", "sentence2", "score"))
    expected = EmbeddingSimilarityEvaluator(*columns, main_similarity="cosine", write_csv=False)(encoder)
    found = evaluate(encoder, PAIRS, build_loss(encoder, "cosine_similarity"), TrainerConfig())
    assert found.correlations["spearman_cosine"] == pytest.approx(float(expected["spearman_cosine"]), abs=1e-9)
    assert found.correlations["pearson_cosine"] == pytest.approx(float(expected["pearson_cosine"]), abs=1e-5)


def test_validation_loss_is_the_mean_squared_error(encoder: SentenceTransformer) -> None:
    found = evaluate(encoder, PAIRS, build_loss(encoder, "cosine_similarity"), TrainerConfig(batch_size=2))
    assert found.loss == pytest.approx(np.mean((found.predicted - found.gold) ** 2), abs=1e-6)


def test_evaluation_draws_no_random_number(encoder: SentenceTransformer) -> None:
    before = torch.get_rng_state()
    evaluate(encoder, PAIRS, build_loss(encoder, "cosine_similarity"), TrainerConfig())
    assert torch.equal(before, torch.get_rng_state())


def test_equal_sentences_are_encoded_once(encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    encode = encoder.encode
    monkeypatch.setattr(
        encoder, "encode", lambda sentences, **kwargs: seen.extend(sentences) or encode(sentences, **kwargs)
    )
    first, second = embed_pairs(encoder, PAIRS, 8)
    assert len(seen) == len(set(seen)) == 7
    assert torch.equal(first[1], second[1])
