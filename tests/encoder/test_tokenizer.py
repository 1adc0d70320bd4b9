import unicodedata
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from src.encoder.q4_file import Q4File
from src.encoder.tokenizer import SPECIALS, build_tokenizer


@pytest.fixture(scope="module")
def cut(source: Q4File, kept: list[int]) -> PreTrainedTokenizerFast:
    return build_tokenizer([source.pieces[i] for i in kept], [source.scores[i] for i in kept])


def ids_in_full(cut: PreTrainedTokenizerFast, kept: list[int], texts: list[str]) -> list[list[int]]:
    return [[kept[i] for i in ids] for ids in cut(texts)["input_ids"]]


def test_special_tokens_have_the_ids_of_xlm_roberta(full_tokenizer: PreTrainedTokenizerFast) -> None:
    t = full_tokenizer
    assert (t.bos_token_id, t.pad_token_id, t.eos_token_id, t.unk_token_id, t.mask_token_id) == (0, 1, 2, 3, 250_001)
    assert (t.cls_token_id, t.sep_token_id) == (t.bos_token_id, t.eos_token_id)
    assert t("안녕")["input_ids"][0] == 0
    assert t("안녕")["input_ids"][-1] == 2


def test_token_counts_equal_the_engines(
    engine: Any, full_tokenizer: PreTrainedTokenizerFast, sentences: list[str]
) -> None:
    counts = [len(ids) for ids in full_tokenizer([f"query: {text}" for text in sentences])["input_ids"]]
    assert counts == [engine.token_count(text, is_query=True) for text in sentences]


def test_token_counts_on_klue_equal_the_engines(
    engine: Any, full_tokenizer: PreTrainedTokenizerFast, klue_sentences: list[str]
) -> None:
    # The engine keeps a blank at the end, and counts unknown characters one by one that `tokenizers` joins.
    texts = list({text.strip() for text in klue_sentences})
    encoded = full_tokenizer([f"query: {text}" for text in texts])["input_ids"]
    known = [(text, ids) for text, ids in zip(texts, encoded, strict=True) if full_tokenizer.unk_token_id not in ids]
    assert len(known) > 0.99 * len(texts)
    assert [text for text, ids in known if len(ids) != engine.token_count(text, is_query=True)] == []


def test_cutting_the_vocabulary_keeps_the_tokens_of_sentences(
    cut: PreTrainedTokenizerFast, full_tokenizer: PreTrainedTokenizerFast, kept: list[int], sentences: list[str]
) -> None:
    assert ids_in_full(cut, kept, sentences) == full_tokenizer(sentences)["input_ids"]


def test_cutting_the_vocabulary_keeps_the_tokens_of_klue(
    cut: PreTrainedTokenizerFast, full_tokenizer: PreTrainedTokenizerFast, kept: list[int], klue_sentences: list[str]
) -> None:
    assert len(klue_sentences) == 2 * (11_668 + 519)
    assert ids_in_full(cut, kept, klue_sentences) == full_tokenizer(klue_sentences)["input_ids"]


def test_every_hangul_piece_and_special_token_is_kept(source: Q4File, kept: list[int]) -> None:
    hangul = [
        i
        for i, piece in enumerate(source.pieces)
        if any(unicodedata.name(char, "").startswith("HANGUL") for char in piece)
    ]
    assert len(hangul) > 5_000
    assert set(hangul) <= set(kept)
    assert {source.pieces.index(token) for token in SPECIALS} <= set(kept)
    assert kept == sorted(set(kept))


@pytest.mark.parametrize("text", ["서울", "Zoë", "大", "ひ", "β", "🙂", "₩", "Kubernetes", "qwxz"])
def test_characters_of_korean_text_are_in_the_cut_vocabulary(text: str, cut: PreTrainedTokenizerFast) -> None:
    assert cut.unk_token_id not in cut(text)["input_ids"]


def test_words_of_several_hanja_and_rare_latin_words_are_split_into_shorter_pieces(
    cut: PreTrainedTokenizerFast,
) -> None:
    assert cut.tokenize("大韓民國") == ["▁大", "韓", "民", "國"]
    assert "".join(cut.tokenize("Häagen")) == "▁Häagen"


@pytest.mark.parametrize("text", ["สวัสดี", "שלום", "नमस्ते", "们"])
def test_other_scripts_are_unknown_to_the_cut_vocabulary(text: str, cut: PreTrainedTokenizerFast) -> None:
    assert cut.unk_token_id in cut(text)["input_ids"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("호텔 방", unicodedata.normalize("NFD", "호텔 방")),
        ("A방 12", "Ａ방 １２"),
        ("앞 뒤", "  앞\u200b \t\u00a0뒤\n"),
        ("앞뒤", "앞\x00\x01뒤"),
        ("앞 뒤", "앞▁뒤"),
    ],
)
def test_texts_that_look_equal_have_equal_tokens(one: str, other: str, cut: PreTrainedTokenizerFast) -> None:
    assert cut(one)["input_ids"] == cut(other)["input_ids"]
