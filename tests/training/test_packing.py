"""A packed batch gives what a padded one gives, in one forward and without padding."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from transformers import MPNetConfig, MPNetModel

from src.errors import UserError
from src.training import packed_attention
from src.training.batches import PackedCollator, embed_packed, tokenize

PAIRS = Dataset.from_dict(
    {
        "sentence1": ["방이 깨끗해요", "위치", "호스트가 아주 친절했고 침대도 편했습니다"],
        "sentence2": ["깨끗한 방", "역에서 조금 멀어요", "친절"],
        "score": [1.0, 0.25, 0.5],
    }
)
COLLATOR = PackedCollator(heads=2, dtype=torch.float32)


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu").eval()


def embed(encoder: SentenceTransformer) -> torch.Tensor:
    batch = COLLATOR(list(tokenize(PAIRS, encoder)))
    features = {key.removeprefix("pairs_"): value for key, value in batch.items() if key != "label"}
    return torch.cat(embed_packed(encoder, features))


def embed_padded(encoder: SentenceTransformer) -> torch.Tensor:
    return encoder(encoder.preprocess([*PAIRS["sentence1"], *PAIRS["sentence2"]]))["sentence_embedding"]


def gradients(encoder: SentenceTransformer, embeddings: torch.Tensor) -> list[torch.Tensor]:
    weights = torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)
    parameters = [weight for weight in encoder.parameters() if weight.requires_grad]
    found = torch.autograd.grad((embeddings * weights).sum(), parameters, allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def test_packed_embeddings_equal_padded_ones(encoder: SentenceTransformer) -> None:
    padded = embed_padded(encoder)
    with packed_attention(encoder, enabled=True):
        packed = embed(encoder)
    torch.testing.assert_close(packed, padded, atol=1e-6, rtol=1e-5)


def test_packed_gradients_equal_padded_ones(encoder: SentenceTransformer) -> None:
    expected = gradients(encoder, embed_padded(encoder))
    with packed_attention(encoder, enabled=True):
        found = gradients(encoder, embed(encoder))
    assert len(found) == len(expected) > 10
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_encoding_is_unchanged_while_packed_attention_is_on(encoder: SentenceTransformer) -> None:
    expected = encoder.encode(PAIRS["sentence1"])
    with packed_attention(encoder, enabled=True):
        found = encoder.encode(PAIRS["sentence1"])
    assert (found == expected).all()


def test_attention_is_restored_after_training(encoder: SentenceTransformer) -> None:
    before = encoder[0].model.config._attn_implementation
    with packed_attention(encoder, enabled=True):
        assert encoder[0].model.config._attn_implementation != before
    assert encoder[0].model.config._attn_implementation == before


def test_an_encoder_that_keeps_its_own_attention_is_refused(encoder: SentenceTransformer) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    encoder[0].model = MPNetModel(MPNetConfig(vocab_size=8, **sizes))
    with pytest.raises(UserError, match="found MPNetModel: set trainer=stock"), packed_attention(encoder, True):
        pass


def test_a_packed_batch_has_next_to_no_padding(encoder: SentenceTransformer) -> None:
    rows = list(tokenize(PAIRS, encoder)) * 10
    tokens = sum(len(row[column]) for row in rows for column in ("sentence1", "sentence2"))
    batch = COLLATOR(rows)
    assert tokens < batch["pairs_input_ids"].shape[1] < 1.15 * tokens
    assert batch["label"].tolist() == [1.0, 0.25, 0.5] * 10


def test_a_batch_without_fillers_is_whole_too(encoder: SentenceTransformer) -> None:
    row = {"sentence1": [5] * 16, "sentence2": [6] * 16, "score": 1.0}
    batch = COLLATOR([row, row])
    assert batch["pairs_input_ids"].shape == (1, 64)
    features = {key.removeprefix("pairs_"): value for key, value in batch.items() if key != "label"}
    with packed_attention(encoder, enabled=True):
        first, second = embed_packed(encoder, features)
    alone = encoder({"input_ids": torch.full((1, 16), 5), "attention_mask": torch.ones(1, 16, dtype=torch.int64)})
    torch.testing.assert_close(first[:1], alone["sentence_embedding"], atol=1e-6, rtol=1e-5)
    assert not torch.equal(first, second)


def test_long_sentences_are_cut_to_the_encoders_length(encoder: SentenceTransformer) -> None:
    encoder.max_seq_length = 6
    rows = list(tokenize(PAIRS, encoder))
    assert max(len(row["sentence1"]) for row in rows) == 6
