"""Texts encoded in packed batches have the embeddings that the library's `encode` gives them."""

from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from transformers import ModernBertConfig, ModernBertModel, T5Config, T5EncoderModel

from src.encoder.coverage import TextCoverage
from src.packing.encode import encode

TEXTS = ["방이 깨끗해요", "위치", "", "호스트가 아주 친절했고 침대도 편했습니다 " * 3, "역에서 조금 멀어요"] * 5


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu")


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("include_prompt", [True, False])
def test_embeddings_are_those_of_the_library_in_the_order_of_the_texts(
    encoder: SentenceTransformer, batch_size: int, include_prompt: bool
) -> None:
    encoder[1] = Pooling(32, include_prompt=include_prompt)
    found = encode(encoder, TEXTS, "질문: ", batch_size, "fp32")
    expected = encoder.encode(TEXTS, prompt="질문: ", convert_to_tensor=True)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_no_text_is_padded_for_the_linear_layers(encoder: SentenceTransformer) -> None:
    lengths: list[int] = []
    encoder[0].model.encoder.layer[0].register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
    encode(encoder, TEXTS, "", 8, "fp32")  # with the check of packing, which pads
    lengths.clear()
    encode(encoder, TEXTS, "", 8, "fp32")
    tokens = sum(map(len, TextCoverage(encoder)(TEXTS)))
    assert tokens <= sum(lengths) <= tokens + 16 * len(lengths)
    assert len(lengths) > 2


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_passes_in_several_threads_have_the_embeddings_of_one(encoder: SentenceTransformer, threads: int) -> None:
    former = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = [encode(encoder, TEXTS, "", 4, precision) for precision in ("fp32", "bf16")]
        assert torch.get_num_threads() == threads
        assert not found[0].requires_grad
        torch.set_num_threads(1)
        expected = [encode(encoder, TEXTS, "", 4, precision) for precision in ("fp32", "bf16")]
    finally:
        torch.set_num_threads(former)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_an_error_in_a_thread_is_raised(encoder: SentenceTransformer) -> None:
    former = torch.get_num_threads()
    encode(encoder, TEXTS, "", 4, "fp32")
    encoder[0].model.embeddings.word_embeddings = torch.nn.Embedding(3, 32)
    try:
        torch.set_num_threads(2)
        with pytest.raises(IndexError):
            encode(encoder, TEXTS, "", 4, "fp32")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(former)


def test_in_bf16_embeddings_differ_by_rounding_only(encoder: SentenceTransformer) -> None:
    exact, rounded = (encode(encoder, TEXTS, "", 8, precision) for precision in ("fp32", "bf16"))
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.cosine_similarity(exact, rounded).min() > 0.999


def test_the_mode_is_evaluation_and_the_attention_is_restored(encoder: SentenceTransformer) -> None:
    before = encoder[0].model.config._attn_implementation
    encoder.train()
    state = torch.random.get_rng_state()
    encode(encoder, TEXTS, "", 8, "fp32")
    assert not encoder.training
    assert encoder[0].model.config._attn_implementation == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_no_texts_have_no_embeddings(encoder: SentenceTransformer) -> None:
    assert encode(encoder, [], "", 8, "fp32").shape == (0, 32)


def test_embeddings_are_cut_to_the_encoders_dimensions(tiny_encoder_folder: Path) -> None:
    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu", truncate_dim=8)
    expected = encoder.encode(TEXTS, convert_to_tensor=True)
    torch.testing.assert_close(encode(encoder, TEXTS, "", 8, "fp32"), expected, atol=1e-6, rtol=1e-5)


def test_an_encoder_that_cannot_be_packed_is_encoded_by_the_library(
    encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"d_model": 32, "d_kv": 16, "num_layers": 2, "num_heads": 2, "d_ff": 64}
    encoder[0].model = T5EncoderModel(T5Config(vocab_size=len(encoder.tokenizer), **sizes))
    expected = encoder.encode(TEXTS, convert_to_tensor=True)
    assert torch.equal(encode(encoder, TEXTS, "", 32, "fp32"), expected)
    static = SentenceTransformer(modules=[StaticEmbedding(encoder.tokenizer, embedding_dim=8)])
    expected = static.encode(TEXTS, convert_to_tensor=True)
    monkeypatch.setattr(TextCoverage, "cut_ids", lambda *_: pytest.fail("tokenised twice"))
    assert torch.equal(encode(static, TEXTS, "", 32, "fp32"), expected)


def test_a_later_text_longer_than_the_window_of_an_encoder_is_encoded_by_the_library(
    encoder: SentenceTransformer,
) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    special = dict.fromkeys(("cls_token_id", "bos_token_id"), 0) | dict.fromkeys(("sep_token_id", "eos_token_id"), 2)
    config = ModernBertConfig(vocab_size=len(encoder.tokenizer), local_attention=32, pad_token_id=1, **sizes, **special)
    torch.manual_seed(0)
    encoder[0].model = ModernBertModel(config).eval()
    for texts in (["위치", "방이 깨끗해요"], TEXTS):
        expected = encoder.encode(texts, convert_to_tensor=True)
        torch.testing.assert_close(encode(encoder, texts, "", 32, "fp32"), expected, atol=1e-6, rtol=1e-5)
