"""Training only the embeddings of tokens that occur gives the same weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer

from src.config import Config
from src.evaluation.metrics import SPEARMAN
from src.packing.tokens import tokenize
from src.training.embedding_subset import embedding_subset, used_tokens
from src.utils.errors import UserError
from tests.training.test_fine_tune import FP32, train

TinyConfig = Callable[..., Config]
PAIRS = Dataset.from_dict({"sentence1": ["방", "창"], "sentence2": ["방이", "넓다"], "score": [1.0, 0.0]})


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu").eval()


def test_training_the_used_rows_alone_gives_the_same_weights_and_curve(tiny_config: TinyConfig) -> None:
    some, weights = train(tiny_config(FP32))
    every, expected = train(tiny_config(FP32, "trainer.used_rows=false"))
    torch.testing.assert_close(weights, expected, atol=1e-6, rtol=0)
    assert [row.step for row in some.curve] == [row.step for row in every.curve]
    assert some.curve[-1].metrics[SPEARMAN] == pytest.approx(every.curve[-1].metrics[SPEARMAN], abs=1e-6)


def test_used_tokens_are_those_of_the_pairs(encoder: SentenceTransformer) -> None:
    expected = {token for text in ("방", "창", "방이", "넓다") for token in encoder.tokenizer(text)["input_ids"]}
    assert set(used_tokens([tokenize(PAIRS, encoder)]).tolist()) == expected


def test_a_change_of_the_rows_is_seen_by_an_evaluation_and_by_a_checkpoint(
    encoder: SentenceTransformer, tmp_path: Path
) -> None:
    used = used_tokens([tokenize(PAIRS, encoder)])
    before = encoder.encode(["방이 넓다", "다른 말"])
    with embedding_subset(encoder[0].model, used):
        encoder.train()
        with torch.no_grad():
            encoder[0].model.get_input_embeddings().rows.neg_()
        encoder.save_pretrained(str(tmp_path / "checkpoint"))
        during = encoder.encode(["방이 넓다", "다른 말"])
    after = encoder.encode(["방이 넓다", "다른 말"])
    assert abs(during[0] - before[0]).max() > 1e-3
    assert (after == during).all()
    assert (SentenceTransformer(str(tmp_path / "checkpoint")).encode(["방이 넓다", "다른 말"]) == after).all()


def test_a_table_that_does_more_than_look_up_is_left_alone(encoder: SentenceTransformer) -> None:
    class Scaled(torch.nn.Embedding):
        """As in Gemma."""

    scaled = Scaled(10, 4)
    encoder[0].model.set_input_embeddings(scaled)
    with embedding_subset(encoder[0].model, torch.arange(3)):
        assert encoder[0].model.get_input_embeddings() is scaled


@pytest.mark.parametrize("override", ["trainer.weight_decay=0.01", "trainer.batching=padded"])
def test_an_embedding_subset_that_would_change_the_result_is_refused(override: str, tiny_config: TinyConfig) -> None:
    with pytest.raises(UserError, match=r"trainer\.used_rows"):
        tiny_config(override)
