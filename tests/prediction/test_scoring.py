"""The embedder: equality with the encoder, each sentence encoded once, bounded cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from src.config.model import HubEncoder
from src.encoder import load_encoder
from src.prediction.scoring import Embedder

SENTENCES = ["방이 넓다", "역이 멀다", "방이 넓다", "조용한 동네예요"]


def numbered(start: int, end: int) -> list[str]:
    return [f"문장 {number}" for number in range(start, end)]


def test_embeddings_equal_the_encoders(embed: Embedder, encoder: SentenceTransformer) -> None:
    np.testing.assert_allclose(embed(anchor=SENTENCES), encoder.encode(SENTENCES), atol=1e-6)
    np.testing.assert_allclose(embed(anchor=SENTENCES[::-1]), encoder.encode(SENTENCES[::-1]), atol=1e-6)


def test_equal_sentences_are_encoded_once_across_calls(embed: Embedder) -> None:
    embed(anchor=SENTENCES)
    assert embed.encoded == 3
    embed(anchor=[*SENTENCES, "새 문장"])
    assert embed.encoded == 4


def test_the_least_recently_used_sentence_is_evicted_first(embed: Embedder) -> None:
    capacity = embed.capacity
    embed(anchor=numbered(0, capacity))
    embed(anchor=numbered(0, 1))
    embed(anchor=numbered(capacity, capacity + 1))  # evicts number 1
    encoded = embed.encoded
    embed(anchor=numbered(0, 1))
    assert embed.encoded == encoded
    embed(anchor=numbered(1, 2))
    assert embed.encoded == encoded + 1


def test_a_full_cache_keeps_its_size_and_correct_embeddings(encoder: SentenceTransformer) -> None:
    embed = Embedder(encoder, 64, "fp32", 1)
    embed.capacity = 10
    for start in range(0, 60, 6):
        sentences = numbered(start, start + 15)
        np.testing.assert_allclose(embed(anchor=sentences), encoder.encode(sentences), atol=1e-6)
        assert len(embed.slots) <= 10
    assert embed.cache.nbytes <= 2**20


def test_without_a_cache_every_call_encodes_again(encoder: SentenceTransformer) -> None:
    embed = Embedder(encoder, 8, "fp32", 0)
    np.testing.assert_allclose(embed(anchor=SENTENCES), encoder.encode(SENTENCES), atol=1e-6)
    embed(anchor=SENTENCES)
    assert embed.encoded == 6


def test_bf16_embeddings_are_close_and_returned_as_float32(embed: Embedder, encoder: SentenceTransformer) -> None:
    close = Embedder(encoder, 8, "bf16", 1)(anchor=SENTENCES)
    assert close.dtype == torch.float32
    assert not torch.equal(close, embed(anchor=SENTENCES))
    assert torch.cosine_similarity(close, embed(anchor=SENTENCES)).min() == pytest.approx(1, abs=1e-2)


def test_texts_that_the_encoder_does_not_see_in_full_are_counted(embed: Embedder) -> None:
    embed(anchor=["ห้องสะอาดมาก", "방" * 600, "방", "방"])
    unseen = embed.coverage
    assert (unseen.texts, unseen.cut, unseen.unknown) == (3, 1, 1)


def test_a_text_is_embedded_once_for_each_prompt(tiny_encoder_folder: Path) -> None:
    prompts = {"query": "질문: ", "passage": "문서: "}
    encoder = load_encoder(HubEncoder(path=str(tiny_encoder_folder), prompts=prompts))
    embed = Embedder(encoder, 8, "fp32", 1)
    asked, found, plain = embed(anchor=SENTENCES, positive=SENTENCES, sentence1=SENTENCES).chunk(3)
    np.testing.assert_allclose(asked, encoder.encode(SENTENCES, prompt_name="query"), atol=1e-6)
    np.testing.assert_allclose(found, encoder.encode(SENTENCES, prompt_name="passage"), atol=1e-6)
    np.testing.assert_allclose(plain, encoder.encode(SENTENCES), atol=1e-6)
    again = embed(positive=SENTENCES, anchor=SENTENCES)
    assert torch.equal(again, torch.cat([found, asked]))
    assert embed.encoded == 3 * 3
