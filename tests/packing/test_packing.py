"""A packed batch gives what a padded one gives, in one forward pass with next to no padding."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from src.data.shapes import text_columns
from src.encoder.prompts import unpooled_for
from src.packing.attention import attend_by_bin, packed_attention
from src.packing.batches import PackedCollator, embed_packed, pack
from src.packing.check import check_packing
from src.packing.tokens import tokenize
from src.utils.errors import UserError
from tests.conftest import features_of
from tests.training.examples import make_set

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
    return torch.cat(embed_packed(encoder, features_of(batch)))


def embed_padded(encoder: SentenceTransformer) -> torch.Tensor:
    return encoder(encoder.preprocess([*PAIRS["sentence1"], *PAIRS["sentence2"]]))["sentence_embedding"]


def check_columns(encoder: SentenceTransformer, tokenized: Dataset) -> None:
    for column in text_columns(tokenized.column_names):
        check_packing(encoder, list(tokenized[column]), unpooled_for(encoder, column))


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
    assert tokens <= batch["packed0_input_ids"].shape[1] < tokens + 16
    assert batch["label"].tolist() == [1.0, 0.25, 0.5] * 10


def test_a_batch_without_fillers_is_packed_too(encoder: SentenceTransformer) -> None:
    row = {"sentence1": [5] * 16, "sentence2": [6] * 16, "score": 1.0}
    batch = COLLATOR([row, row])
    assert batch["packed0_input_ids"].shape == (1, 64)
    assert batch["packed0_cu_seq_lens_q"].tolist() == [0, 16, 32, 48, 64]
    with packed_attention(encoder, enabled=True):
        first, second = embed_packed(encoder, features_of(batch))
    alone = encoder({"input_ids": torch.full((1, 16), 5), "attention_mask": torch.ones(1, 16, dtype=torch.int64)})
    torch.testing.assert_close(first[:1], alone["sentence_embedding"], atol=1e-6, rtol=1e-5)
    assert not torch.equal(first, second)


def test_long_sentences_are_cut_to_the_encoders_length(encoder: SentenceTransformer) -> None:
    encoder.max_seq_length = 6
    rows = list(tokenize(PAIRS, encoder))
    assert max(len(row["sentence1"]) for row in rows) == 6


def with_transformer(encoder: SentenceTransformer, model: PreTrainedModel) -> SentenceTransformer:
    encoder[0].model = model.eval()
    return encoder


def tiny_roberta(encoder: SentenceTransformer) -> XLMRobertaModel:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    special = {"pad_token_id": 1, "max_position_embeddings": 40}
    return XLMRobertaModel(XLMRobertaConfig(vocab_size=len(encoder.tokenizer), **sizes, **special))


@pytest.mark.parametrize("count", [1, 16])
def test_positions_of_the_roberta_family_start_behind_the_padding_index(
    encoder: SentenceTransformer, count: int
) -> None:
    with_transformer(encoder, tiny_roberta(encoder))
    rows = list(tokenize(PAIRS, encoder)) * count  # 16 times, the sentences fill many bins, and fillers the rest
    collator = PackedCollator.for_encoder(encoder, torch.float32)
    assert collator.position_offset == 2
    padded = embed_padded(encoder).unflatten(0, (2, -1)).repeat(1, count, 1)
    with packed_attention(encoder, enabled=True):
        packed = torch.stack(embed_packed(encoder, features_of(collator(rows))))
    torch.testing.assert_close(packed, padded, atol=1e-6, rtol=1e-5)


def test_in_bf16_too_a_sentence_is_embedded_whatever_its_neighbours_are(encoder: SentenceTransformer) -> None:
    rows = list(tokenize(PAIRS, encoder))
    others = [{**row, "sentence2": [token + 1 for token in row["sentence2"]]} for row in rows]
    with packed_attention(encoder, enabled=True), torch.autocast("cpu", dtype=torch.bfloat16):
        first, second, same, changed = (
            column
            for batch in (rows, others)
            for column in embed_packed(encoder, features_of(PackedCollator(2, torch.bfloat16)(batch)))
        )
    assert torch.equal(first, same)
    assert not torch.equal(second, changed)


def test_heads_that_share_a_key_and_a_value_attend_as_in_the_library() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, 16, 4) for heads in (4, 2, 2))
    features = PackedCollator(4, torch.float32).pack_texts([[1] * 16], 0)
    packed = {name: values for name, values in features.items() if name.startswith("pack_")}
    module = torch.nn.Module().eval()
    found, _ = attend_by_bin(module, query, key, value, None, **packed, scaling=0.5, dropout=0.0)
    expected = scaled_dot_product_attention(query, key, value, scale=0.5, enable_gqa=True)
    torch.testing.assert_close(found.transpose(1, 2), expected)


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=64))
def test_every_sentence_lies_in_one_bin_and_no_bin_is_too_long(lengths: list[int]) -> None:
    bins, width = pack(lengths)
    assert sorted(index for indices in bins for index in indices) == list(range(len(lengths)))
    assert max(sum(lengths[index] for index in indices) for indices in bins) <= width
    assert width % 32 == 0


def test_the_bins_are_as_long_as_the_longest_text_and_filled_with_the_others() -> None:
    assert pack([10, 200, 150, 50, 10]) == ([[1, 0, 4], [2, 3]], 224)


@pytest.mark.parametrize("include_prompt", [True, False])
def test_the_default_prompt_is_packed_as_it_is_encoded(encoder: SentenceTransformer, include_prompt: bool) -> None:
    plain = encoder.encode(PAIRS["sentence1"])
    encoder.prompts, encoder.default_prompt_name = {"query": "질문: "}, "query"
    encoder[1] = Pooling(32, include_prompt=include_prompt)
    expected = encoder.encode([*PAIRS["sentence1"], *PAIRS["sentence2"]])
    pairs = tokenize(PAIRS, encoder)
    check_columns(encoder, pairs)
    batch = PackedCollator.for_encoder(encoder, torch.float32)(list(pairs))
    with packed_attention(encoder, enabled=True):
        packed = torch.cat(embed_packed(encoder, features_of(batch))).detach().numpy()
    assert abs(packed - expected).max() < 1e-5
    assert abs(packed[: len(plain)] - plain).max() > 1e-3


@pytest.mark.parametrize(("include_prompt", "sequences"), [(True, 1), (False, 2)])
def test_every_column_is_packed_with_its_own_prompt(
    include_prompt: bool, sequences: int, encoder: SentenceTransformer
) -> None:
    encoder.prompts |= {"query": "질문: ", "passage": "아주 긴 본문: "}
    encoder[1] = Pooling(32, include_prompt=include_prompt)
    triplets = make_set("triplets", 6, negatives=2).train
    expected = [
        encoder.encode(list(triplets[column]), prompt=encoder.prompts["query" if column == "anchor" else "passage"])
        for column in triplets.column_names
    ]
    tokenized = tokenize(triplets, encoder)
    check_columns(encoder, tokenized)
    batch = PackedCollator.for_encoder(encoder, torch.float32)(list(tokenized))
    assert len(features_of(batch)) == sequences
    with packed_attention(encoder, enabled=True):
        packed = embed_packed(encoder, features_of(batch))
    assert len(packed) == len(expected) == 4
    for found, column in zip(packed, expected, strict=True):
        assert abs(found.detach().numpy() - column).max() < 1e-5


def test_the_token_ids_of_each_data_set_are_kept_until_a_prompt_or_a_length_changes(
    encoder: SentenceTransformer,
) -> None:
    first, second = make_set("scored", 6).train, make_set("triplets", 6).train
    kept = [tokenize(examples, encoder) for examples in (first, second)]
    assert [tokenize(examples, encoder) for examples in (first, second)] == kept
    encoder.prompts["query"] = "질문: "
    assert tokenize(first, encoder) is kept[0]
    assert tokenize(second, encoder) is not kept[1]
    encoder.max_seq_length = 8
    assert max(map(len, tokenize(first, encoder)["sentence1"])) == 8
