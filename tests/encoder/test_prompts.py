"""Prompts by column: which one applies, and what a saved model carries."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from src.config.model import TEXT_COLUMNS, HubEncoder
from src.data.shapes import SHAPES
from src.encoder import load_encoder
from src.encoder.prompts import CONFIG, column_prompts, prompt_for, save_column_prompts, unpooled_for
from src.utils.errors import UserError

QUERY, PASSAGE = "질문: ", "문서: "
E5 = {"query": QUERY, "passage": PASSAGE}
EXPLICIT = {"anchor": "query", "positive": "passage", "negative": "passage"}
TEXT = "방이 넓다"

Load = Callable[..., SentenceTransformer]


@pytest.fixture
def load(tiny_encoder_folder: Path) -> Load:
    """Load the tiny encoder with these settings of its prompts."""
    return lambda **settings: load_encoder(HubEncoder(path=str(tiny_encoder_folder), **settings))


@pytest.fixture
def save(tmp_path: Path) -> Callable[[SentenceTransformer], Path]:
    """Save an encoder as a training does, and return its folder."""

    def saved(encoder: SentenceTransformer) -> Path:
        encoder.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
        save_column_prompts(encoder, tmp_path / "saved")
        return tmp_path / "saved"

    return saved


def prompts_of(encoder: SentenceTransformer) -> dict[str, str]:
    return {column: prompt_for(encoder, column) for column in TEXT_COLUMNS}


def test_every_column_of_texts_can_have_a_prompt() -> None:
    assert set(TEXT_COLUMNS) == {column for shape in SHAPES.values() for column in shape.texts}


NONE = dict.fromkeys(TEXT_COLUMNS, "")
ROLES = {**NONE, "anchor": QUERY, "positive": PASSAGE, "negative": PASSAGE}
APPLIED: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "nothing": ({}, NONE),
    "a default": ({"prompts": {"q": QUERY}, "default_prompt_name": "q"}, dict.fromkeys(TEXT_COLUMNS, QUERY)),
    "roles": ({"prompts": E5}, ROLES),
    "roles of corpus": ({"prompts": {"query": QUERY, "corpus": PASSAGE}}, ROLES),
    "roles before a default": (
        {"prompts": E5, "default_prompt_name": "passage"},
        {**ROLES, "sentence1": PASSAGE, "sentence2": PASSAGE},
    ),
    "columns": ({"prompts": E5, "column_prompts": EXPLICIT}, ROLES),
    "columns of pairs": (
        {"prompts": {"q": QUERY, "p": PASSAGE}, "column_prompts": {"sentence1": "q", "sentence2": "p"}},
        {**NONE, "sentence1": QUERY, "sentence2": PASSAGE},
    ),
    "columns before roles": (
        {"prompts": E5, "column_prompts": {"positive": "query"}},
        {**ROLES, "positive": QUERY, "negative": QUERY},
    ),
    "a column without a prompt": (
        {"prompts": {**E5, "no": ""}, "default_prompt_name": "query", "column_prompts": {"negative": "no"}},
        {**ROLES, "sentence1": QUERY, "sentence2": QUERY, "negative": ""},
    ),
}


@pytest.mark.parametrize(("settings", "expected"), APPLIED.values(), ids=APPLIED)
def test_a_column_has_its_own_prompt_else_that_of_its_role_else_the_default(
    settings: dict[str, Any], expected: dict[str, str], load: Load
) -> None:
    encoder = load(**settings)
    assert prompts_of(encoder) == expected
    assert prompt_for(encoder, "negative_2") == expected["negative"]


def test_an_empty_prompt_is_not_the_default_prompt(load: Load) -> None:
    encoder = load(prompts={"query": "", "passage": "passage: "}, default_prompt_name="passage")
    assert (prompt_for(encoder, "anchor"), prompt_for(encoder, "positive")) == ("", "passage: ")


@pytest.mark.parametrize(("settings", "expected"), APPLIED.values(), ids=APPLIED)
def test_a_saved_model_has_the_prompts_that_it_was_trained_with(
    settings: dict[str, Any], expected: dict[str, str], load: Load, save: Callable[..., Path]
) -> None:
    encoder = load(**settings)
    folder = save(encoder)
    assert prompts_of(load_encoder(HubEncoder(path=str(folder)))) == expected
    plain = SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_array_equal(plain.encode(TEXT), encoder.encode(TEXT))
    np.testing.assert_array_equal(plain.encode_query(TEXT), encoder.encode(TEXT, prompt=expected["anchor"]))
    np.testing.assert_array_equal(plain.encode_document(TEXT), encoder.encode(TEXT, prompt=expected["positive"]))


def test_a_saved_model_takes_other_prompts(load: Load, save: Callable[..., Path]) -> None:
    folder = save(load(prompts=E5))
    again = load_encoder(HubEncoder(path=str(folder), prompts={"passage": "글: "}))
    assert (prompt_for(again, "anchor"), prompt_for(again, "positive")) == (QUERY, "글: ")
    assert again.prompts["document"] == "글: "
    mapped = load_encoder(HubEncoder(path=str(folder), column_prompts={"positive": "query"}))
    assert (prompt_for(mapped, "positive"), mapped.prompts["document"]) == (QUERY, QUERY)


def test_a_folder_copied_or_saved_again_by_the_library_still_loads(
    load: Load, save: Callable[..., Path], tmp_path: Path
) -> None:
    folder = save(load(prompts={"q": QUERY}, column_prompts={"sentence1": "q"}))
    copied = load_encoder(HubEncoder(path=str(shutil.copytree(folder, tmp_path / "copied"))))
    assert column_prompts(copied) == {"sentence1": "q"}
    SentenceTransformer(str(folder), device="cpu").save_pretrained(str(tmp_path / "again"), create_model_card=False)
    again = load_encoder(HubEncoder(path=str(tmp_path / "again")))
    assert (column_prompts(again), again.prompts["q"]) == ({}, QUERY)


def test_a_model_without_prompts_of_columns_is_saved_as_the_library_saves_it(
    load: Load, save: Callable[..., Path]
) -> None:
    assert json.loads((save(load(prompts=E5)) / CONFIG).read_text()).keys() == {
        "__version__", "default_prompt_name", "model_type", "prompts", "similarity_fn_name",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"default_prompt_name": "query2"}, r"model\.default_prompt_name must be the name of a prompt, one of \['docu"),
        ({"column_prompts": {"anchor": "ask"}}, r"model\.column_prompts\.anchor .*found 'ask': .*\{ask: TEXT\}"),
    ],
)
def test_a_name_without_a_prompt_is_refused(settings: dict[str, Any], words: str, load: Load) -> None:
    with pytest.raises(UserError, match=words):
        load(**settings)


DAMAGED: dict[str, dict[str, Any]] = {
    "no column": {"column_prompts": {"title": "query"}},
    "no prompt": {"column_prompts": {"anchor": "ask"}},
    "no name": {"column_prompts": {"anchor": ["query"]}},
    "no mapping": {"column_prompts": ["anchor"]},
    "null": {"column_prompts": None},
    "a number": {"prompts": {"query": 3}},
    "no prompts": {"prompts": ["query"]},
    "an unknown default": {"default_prompt_name": "ask"},
    "a default that is no name": {"default_prompt_name": ["ask"]},
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_damaged_prompts_in_a_folder_are_refused_in_one_sentence(
    damage: dict[str, Any], load: Load, save: Callable[..., Path]
) -> None:
    folder = save(load(prompts=E5, column_prompts=EXPLICIT))
    settings = json.loads((folder / CONFIG).read_text("utf-8"))
    (folder / CONFIG).write_text(json.dumps({**settings, **damage}), "utf-8")
    with pytest.raises(UserError) as refused:
        load_encoder(HubEncoder(path=str(folder)))
    assert str(folder) in str(refused.value) and "\n" not in str(refused.value)


def test_the_tokens_that_pooling_leaves_out_are_those_of_the_columns_prompt(load: Load) -> None:
    encoder = load(prompts=E5, column_prompts={"negative": "query"})
    columns = ("anchor", "positive", "negative_1", "sentence1")
    assert [unpooled_for(encoder, column) for column in columns] == [0, 0, 0, 0]
    encoder.set_pooling_include_prompt(False)
    lengths = [len(encoder.tokenizer(prompt)["input_ids"]) - 1 for prompt in (QUERY, PASSAGE)]
    assert [unpooled_for(encoder, column) for column in columns] == [*lengths, lengths[0], 0]
