"""Cut and unknown texts are counted and named."""

from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

from src.encoder.coverage import TextCoverage

THAI = "ห้องสะอาดมาก"


@pytest.fixture
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    encoder.max_seq_length = 10
    return encoder


def test_cut_texts_are_counted_with_their_share_and_the_longest(encoder: SentenceTransformer) -> None:
    coverage = TextCoverage(encoder)
    coverage(["방", "방" * 7, "방" * 8, "방" * 20])  # with <s>, the blank and </s>, 7 fit
    (remark,) = coverage.remarks("train")
    assert "train: 2 of 4 texts (50.0%) are longer than 10 tokens and cut there, the longest has 23" in remark
    assert "model.max_length" in remark and "takes up to 512" in remark


def test_a_model_without_further_positions_takes_no_more(encoder: SentenceTransformer) -> None:
    encoder.max_seq_length = 512
    coverage = TextCoverage(encoder)
    coverage(["방" * 600])
    assert coverage.remarks("dev")[0].endswith("this model takes no more")


def test_cut_ids_are_those_that_the_encoder_embeds(encoder: SentenceTransformer) -> None:
    texts = ["방", "방이 넓고 아주 깨끗했어요", "역"]
    encoder.prompts, encoder.default_prompt_name = {"q": "질문: "}, "q"
    features = encoder.preprocess(texts, prompt="질문: ")
    expected = [
        ids[mask.bool()].tolist() for ids, mask in zip(features["input_ids"], features["attention_mask"], strict=True)
    ]
    assert TextCoverage(encoder).cut_ids(texts) == expected


def test_a_prompt_counts_with_the_text_before_which_it_stands(encoder: SentenceTransformer) -> None:
    coverage = TextCoverage(encoder)
    (short,), (long,) = coverage(["방" * 5], "답"), coverage(["방" * 5], "질문: ")
    assert long == encoder.tokenizer("질문: " + "방" * 5)["input_ids"] != short
    assert (coverage.texts, coverage.cut, coverage.longest) == (2, 1, len(long))
    assert coverage.cut_ids(["방" * 5], "질문: ") == [
        encoder.preprocess(["방" * 5], prompt="질문: ")["input_ids"][0].tolist()
    ]


def test_texts_in_another_script_are_counted_with_an_example_and_the_way_out(encoder: SentenceTransformer) -> None:
    coverage = TextCoverage(encoder)
    coverage(["방이 좋다", THAI, f"방 {THAI}", "방이 좋다 ห"])
    (remark,) = coverage.remarks("dev")
    assert f"dev: the tokenizer does not know 30% or more of 2 of 4 texts (50.0%), such as '{THAI}'" in remark
    assert "model.vocabulary=full" in remark
    assert not coverage.nothing_known


def test_an_example_shows_control_characters_escaped_and_is_short(encoder: SentenceTransformer) -> None:
    coverage = TextCoverage(encoder)
    coverage(["ห\x1b[31m" + "ห" * 100])
    (remark,) = [each for each in coverage.remarks("dev") if "such as" in each]
    assert r"\x1b[31m" in remark and "\x1b" not in remark and "…" in remark


def test_texts_of_which_next_to_nothing_is_known(encoder: SentenceTransformer) -> None:
    coverage = TextCoverage(encoder)
    coverage([THAI, f"{THAI}.", THAI])
    assert coverage.nothing_known


def test_a_tokenizer_that_knows_every_byte_has_no_unknown_text() -> None:
    pieces = {"<unk>": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}}
    tokenizer = Tokenizer(models.BPE(pieces, [], unk_token="<unk>", byte_fallback=True))
    coverage = TextCoverage(SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu"))
    assert len(coverage(["ห"])[0]) == 3
    assert coverage.remarks("dev") == []


def test_static_embeddings_have_unknown_texts_and_no_cut_ones() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "방이": 1, "좋다": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    coverage = TextCoverage(SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu"))
    coverage(["방이 좋다 " * 1000, "역이 멀다"])
    (remark,) = coverage.remarks("dev")
    assert "1 of 2 texts" in remark and "'역이 멀다'" in remark
