"""An evaluation gives the numbers of the library's evaluator."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

from src.config.training import TrainerConfig
from src.evaluation.evaluate import embed_pairs, evaluate
from src.evaluation.metrics import PEARSON, SPEARMAN, similarity_metrics
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


def test_metrics_equal_those_of_the_librarys_evaluator(encoder: SentenceTransformer) -> None:
    columns = (list(PAIRS[name]) for name in ("sentence1", "sentence2", "score"))
    expected = EmbeddingSimilarityEvaluator(*columns, main_similarity="cosine", write_csv=False)(encoder)
    found = evaluate(encoder, PAIRS, build_loss(encoder, "cosine_similarity"), TrainerConfig())
    assert found.metrics[SPEARMAN] == pytest.approx(float(expected["spearman_cosine"]), abs=1e-9)
    assert found.metrics[PEARSON] == pytest.approx(float(expected["pearson_cosine"]), abs=1e-5)


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


def test_gold_scores_keep_their_full_precision(encoder: SentenceTransformer) -> None:
    pairs = PAIRS.remove_columns("score").add_column("score", [0.7, 0.1, 0.3, 1 / 3, 0.9])
    found = evaluate(encoder, pairs, build_loss(encoder, "cosine_similarity"), TrainerConfig())
    assert found.gold.tolist() == [0.7, 0.1, 0.3, 1 / 3, 0.9]


@pytest.mark.parametrize("predicted", [np.full(4, 0.5), np.full(4, np.nan), np.array([0.5, 0.5, 0.5 + 1e-7, 0.5])])
def test_metrics_of_practically_equal_or_non_finite_predictions_are_nan(predicted: np.ndarray) -> None:
    assert np.isnan(list(similarity_metrics(np.array([0.0, 0.3, 0.7, 1.0]), predicted).values())).all()
