"""The embedder: the encoder's own embeddings, each sentence once, in a bounded memory."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from src.prediction.embedding import Embedder

SENTENCES = ["방이 넓다", "역이 멀다", "방이 넓다", "조용한 동네예요"]


def numbered(start: int, end: int) -> list[str]:
    return [f"문장 {number}" for number in range(start, end)]


def test_the_embeddings_are_the_encoders_own(embed: Embedder, encoder: SentenceTransformer) -> None:
    np.testing.assert_allclose(embed(SENTENCES), encoder.encode(SENTENCES), atol=1e-6)
    np.testing.assert_allclose(embed(SENTENCES[::-1]), encoder.encode(SENTENCES[::-1]), atol=1e-6)


def test_equal_sentences_are_encoded_once_also_from_call_to_call(embed: Embedder) -> None:
    embed(SENTENCES)
    assert embed.encoded == 3
    embed([*SENTENCES, "새 문장"])
    assert embed.encoded == 4


def test_what_was_asked_for_longest_ago_is_forgotten_first(embed: Embedder) -> None:
    room = embed.capacity
    embed(numbered(0, room))
    embed(numbered(0, 1))
    embed(numbered(room, room + 1))  # takes the place of number 1
    encoded = embed.encoded
    embed(numbered(0, 1))
    assert embed.encoded == encoded
    embed(numbered(1, 2))
    assert embed.encoded == encoded + 1


def test_the_memory_stays_within_its_bound_and_its_answers_right(encoder: SentenceTransformer) -> None:
    embed = Embedder(encoder, 64, "fp32", 1)
    embed.capacity = 10
    for start in range(0, 60, 6):
        sentences = numbered(start, start + 15)
        np.testing.assert_allclose(embed(sentences), encoder.encode(sentences), atol=1e-6)
        assert len(embed.places) <= 10
    assert embed.kept.nbytes <= 2**20


def test_without_room_every_call_encodes_anew(encoder: SentenceTransformer) -> None:
    embed = Embedder(encoder, 8, "fp32", 0)
    np.testing.assert_allclose(embed(SENTENCES), encoder.encode(SENTENCES), atol=1e-6)
    embed(SENTENCES)
    assert embed.encoded == 6


def test_bf16_is_near_and_comes_as_float32(embed: Embedder, encoder: SentenceTransformer) -> None:
    near = Embedder(encoder, 8, "bf16", 1)(SENTENCES)
    assert near.dtype == torch.float32
    assert not torch.equal(near, embed(SENTENCES))
    assert torch.cosine_similarity(near, embed(SENTENCES)).min() == pytest.approx(1, abs=1e-2)
