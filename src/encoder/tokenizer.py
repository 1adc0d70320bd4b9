"""Tokenizer of multilingual-e5-small (unigram, as in XLM-R), and the subset of its vocabulary for Korean text."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
SPACE = "▁"
LATIN_WORDS = Path(__file__).with_name("latin_words.txt")
COMMON_RANK = 60_000
"""A Latin word is common if one of its spellings is among this number of most frequent pieces."""

CONTROLS = r"[\x00-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
BLANKS = "[\u200b-\u200f\u2581\ufeff\ufffd]"

_HANGUL = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
_SIGNS = "!-@\\[-`{-~\u00a1-\u00bf\u00d7\u00f7\u2000-\u2bff\u3000-\u3020\ufe0f\U0001f000-\U0001faff"
_KOREAN = re.compile(f"[{_HANGUL}{_SIGNS}]*")
_ASCII_WORD = re.compile("[A-Za-z]+")


def build_tokenizer(pieces: Sequence[str], scores: Sequence[float]) -> PreTrainedTokenizerFast:
    """Return the tokenizer of these unigram pieces and log probabilities (`scores`), with `<s> … </s>` around texts.

    It normalises text as SentencePiece does: NFKC, control characters removed, invisible characters as spaces.
    """
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=pieces.index("<unk>")))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(CONTROLS), ""),
            normalizers.Replace(Regex(BLANKS), " "),
            normalizers.NFKC(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, pieces.index(token)) for token in ("<s>", "</s>")],
    )
    begin, pad, end, unknown, mask = SPECIALS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=begin,
        cls_token=begin,
        eos_token=end,
        sep_token=end,
        pad_token=pad,
        unk_token=unknown,
        mask_token=mask,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def korean_pieces(pieces: Sequence[str], full: PreTrainedTokenizerFast, english: Iterable[str]) -> list[int]:
    """Return the ids of the pieces that Korean text needs, in ascending order.

    These are the special tokens; all pieces of Hangul, digits, punctuation, symbols and emoji; single Latin letters and
    the single characters of the Korean standard KS X 1001 (4,888 Hanja, Greek, kana, Cyrillic); common English words in
    all their spellings; and the pieces of `latin_words.txt`, Latin words in Korean text. Other scripts and other Hanja
    become `<unk>`; rare Latin words and words of several Hanja are split into shorter pieces than with the full
    vocabulary.

    Args:
        pieces: all pieces, the most frequent first.
        full: the tokenizer over `pieces`.
        english: pieces of English text.

    """
    listed = _pieces_of_words(full)
    words = [piece.strip(SPACE) for piece in pieces]
    common = {word.casefold() for word in words[:COMMON_RANK]}
    in_english = {piece.strip(SPACE).casefold() for piece in english}

    def is_needed_latin(word: str) -> bool:
        if not _ASCII_WORD.fullmatch(word):
            return False
        return len(word) <= 2 or (word.casefold() in in_english and (word.casefold() in common or word.isupper()))

    return [
        id_
        for id_, (piece, word) in enumerate(zip(pieces, words, strict=True))
        if piece in SPECIALS or id_ in listed or _KOREAN.fullmatch(word) or _is_letter(word) or is_needed_latin(word)
    ]


def _is_letter(word: str) -> bool:
    if len(word) != 1:
        return False
    if unicodedata.name(word, "").startswith("LATIN "):
        return True
    return bool(word.encode("euc_kr", "ignore"))


def _pieces_of_words(full: PreTrainedTokenizerFast) -> set[int]:
    lines = LATIN_WORDS.read_text("utf-8").splitlines()
    words = [word for line in lines if not line.startswith("#") for word in line.split()]
    spellings = {spelling for word in words for spelling in (word, word.lower(), word.capitalize())}
    after_hangul = {f"({spelling})" for spelling in spellings}  # matches the pieces without a leading space
    return {id_ for ids in full([*spellings, *after_hangul])["input_ids"] for id_ in ids}
