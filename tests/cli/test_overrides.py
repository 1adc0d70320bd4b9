"""Mappings on the command line: entries are added, and texts in them stay as they were typed."""

import pytest
from hydra import compose, initialize_config_dir

from src.cli import CONF
from src.cli.overrides import prepare_overrides
from src.config import Config, register_schemas, to_config
from src.utils.errors import UserError

PROMPTS = {"query": "query: ", "passage": "passage: "}


TYPED = {
    'model.prompts={query: "query: ", passage: "passage: "}': PROMPTS,
    "+model.prompts={query: 'query: ', passage: 'passage: '}": PROMPTS,
    'model.prompts={query: "질문: "}': {"query": "질문: "},
    "model.prompts.query=query: ": {"query": "query: "},
    "model.prompts.query=질문 ": {"query": "질문 "},
    "model.prompts.query=1.10": {"query": "1.10"},
    "model.prompts.query=null": {"query": "null"},
    "model.prompts.query=": {"query": ""},
}
REFUSED = ["model.prompts={query: [a]}", "model.prompts={a/b: x}", "model.column_prompts={ancor: query}"]


def composed(typed: str) -> Config:
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return to_config(compose("config", overrides=prepare_overrides([typed])))


@pytest.mark.parametrize(("typed", "prompts"), TYPED.items())
def test_prompts_are_typed_as_a_mapping_or_one_by_one(typed: str, prompts: dict[str, str]) -> None:
    assert composed(typed).model.prompts == prompts


@pytest.mark.parametrize("typed", REFUSED)
def test_prompts_of_another_kind_are_refused_by_name(typed: str) -> None:
    with pytest.raises(UserError, match=rf"{typed.partition('=')[0]} must be"):
        composed(typed)


@pytest.mark.parametrize("typed", ["data.labels={entailment: 1}", "+trainer.warmup=0.1", "+seed=1"])
def test_what_the_chosen_kind_does_not_have_is_refused(typed: str) -> None:
    with pytest.raises(UserError, match=rf"^{typed.partition('=')[0].lstrip('+')}: expected one of \["):
        composed(typed)


def test_each_value_of_a_multirun_is_a_prompt() -> None:
    assert prepare_overrides(["model.prompts.query=a: ,b: ", "-m"]) == ['++model.prompts.query="a: ","b: "', "-m"]


@pytest.mark.parametrize(
    ("typed", "prepared"),
    {
        "suite.sets=[문장 둘.csv,b.csv]": 'suite.sets=["문장 둘.csv",b.csv]',
        "suite.sets=[{name: 한글, dev: '문장, 둘.csv'}]": "suite.sets=[{name: \"한글\", dev: '문장, 둘.csv'}]",
        "against=[experiments/한글 ,base]": 'against=["experiments/한글",base]',
        "suite.sets=[a.csv, {name: b}]": "suite.sets=[a.csv, {name: b}]",
        "trainer.seeds=[1,2": "trainer.seeds=[1,2",
    }.items(),
)
def test_korean_texts_in_lists_and_mappings_need_no_quotation_marks(typed: str, prepared: str) -> None:
    assert prepare_overrides([typed]) == [prepared]
