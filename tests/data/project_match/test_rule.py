from itertools import product

import pytest

from src.cli import CONF
from src.data.project_match import (
    POSTING,
    POSTING_EXTRAS,
    PROFILE,
    PROFILE_EXTRAS,
    REGIONS,
    REQUIRED_YEARS,
    STACKS,
    YEARS,
    Combination,
    score,
    stacks_compatible,
)
from tests.data.project_match.card import (
    CARD_POSTING,
    CARD_PROFILE,
    LABELLED,
    POSTINGS,
    PROFILES,
    combination,
    parse,
)


@pytest.mark.parametrize(("profile", "posting", "label"), LABELLED)
def test_the_rule_gives_the_labels_of_the_card(profile: str, posting: str, label: float) -> None:
    assert score(combination(CARD_PROFILE, profile), combination(CARD_POSTING, posting)) == label


def test_all_sentences_of_the_card_can_be_generated() -> None:
    assert (len(PROFILES), len(POSTINGS)) == (8, 18)
    for sentences, form, template, extras, years in (
        (PROFILES, CARD_PROFILE, PROFILE, PROFILE_EXTRAS, YEARS),
        (POSTINGS, CARD_POSTING, POSTING, POSTING_EXTRAS, REQUIRED_YEARS),
    ):
        for sentence in sentences:
            parts = parse(form, sentence)
            assert template.format(**parts) == sentence
            assert parts["region"] in REGIONS
            assert parts["stack"] in STACKS
            assert parts["years"] in years
            assert parts["extras"] in extras


@pytest.mark.parametrize(
    ("profile", "posting", "expected"),
    [
        (("Java", "경기도", "3년차"), ("Java", "경기도", "3년차"), 1.0),
        (("Java", "경기도", "3년차"), ("Java", "경기도", "4년차"), 0.7),
        (("Java", "경기도", "3년차"), ("Java", "강원도", "2년차"), 0.7),
        (("Java", "재택", "3년차"), ("Java", "강원도", "2년차"), 1.0),
        (("Java", "경기도", "3년차"), ("Java", "재택", "2년차"), 1.0),
        (("Java", "경기도", "1년 이하"), ("Java", "경기도", "1년차"), 0.7),
        (("Flask", "강원도", "7년차 이상"), ("Django", "경기도", "7년차 이상"), 0.7),
        (("Flask", "강원도", "6년차"), ("Django", "경기도", "7년차 이상"), 0.4),
        (("Java", "경기도", "3년차"), ("JPA", "경기도", "3년차"), 0.0),
    ],
)
def test_the_score_adds_up_the_met_criteria(
    profile: tuple[str, str, str], posting: tuple[str, str, str], expected: float
) -> None:
    assert score(Combination(*profile), Combination(*posting)) == expected


def test_compatibility_is_symmetric_and_as_documented() -> None:
    text = (CONF.parent / "docs" / "project_match.md").read_text("utf-8")
    documented = {
        frozenset((row[1], row[2])): row[3] == "yes"
        for line in text.splitlines()
        if (row := [cell.strip() for cell in line.split("|")])[1:4] and len(row) == 6 and row[3] in ("yes", "no")
    }
    assert len(documented) == 9
    for first, second in product(STACKS, repeat=2):
        expected = documented.get(frozenset((first, second)), first == second)
        assert stacks_compatible(first, second) == expected, (first, second)
