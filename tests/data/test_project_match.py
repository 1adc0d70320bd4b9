"""The generated pairs agree with the published card, with the rule, and with what is claimed of them."""

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

import src.data.project_match
from src.config import Config
from src.config.data import ProjectMatch
from src.data import PairData, load_pairs
from src.data.project_match import minimal_pairs
from src.data.project_match.card import USAGE_POSTINGS, USAGE_PROFILE
from src.data.project_match.rule import Combination, score, stacks_compatible
from src.data.project_match.vocabulary import (
    POSTING,
    POSTING_EXTRAS,
    PROFILE,
    PROFILE_EXTRAS,
    REGIONS,
    REQUIRED_YEARS,
    STACKS,
    YEARS,
)
from src.encoder.embedded import MODEL
from src.encoder.q4_file import model_file, read_q4
from src.encoder.tokenizer import build_tokenizer
from src.errors import UserError
from src.metrics.statistics import spearman, tie_ceiling

CARD_PROFILE = re.compile(r"(?P<region>.+) 거주, (?P<years>.+) 개발자, 스택: (?P<stack>.+)\. 추가: (?P<extras>.+)")
CARD_POSTING = re.compile(
    r"(?P<region>.+) 지역 프로젝트, 요구 스택: (?P<stack>.+), 필요 경력: (?P<years>.+) 이상\. 특이사항: (?P<extras>.+)"
)
LABELLED = [
    (
        "경기도 거주, 1년 이하 개발자, 스택: Django. 추가: CS 전공자, 오프라인 중심",
        "대구광역시 지역 프로젝트, 요구 스택: Flask, 필요 경력: 4년차 이상. 특이사항: 팀 협업",
        0.4,
    ),
    (
        "충청북도 거주, 7년차 이상 개발자, 스택: React. 추가: 비전공자 환영, 온라인 중심",
        "충청북도 지역 프로젝트, 요구 스택: Spring Boot, 필요 경력: 4년차 이상."
        " 특이사항: CS 전공자 필수, 프로젝트 중심",
        0.0,
    ),
    (
        "경기도 거주, 1년 이하 개발자, 스택: Flask. 추가: 토이 프로젝트, 오프라인 중심",
        "경기도 지역 프로젝트, 요구 스택: Spring Boot, 필요 경력: 3년차 이상. 특이사항: 리서치 중심, 프로젝트 중심",
        0.0,
    ),
    (USAGE_PROFILE, USAGE_POSTINGS[0], 1.0),
    (USAGE_PROFILE, USAGE_POSTINGS[1], 0.0),
]
"""The labelled samples of the card, and its usage example."""
MORE_PROFILES = [
    "충청북도 거주, 3년차 개발자, 스택: Spring Boot. 추가: 혼합",
    "전라북도 거주, 7년차 이상 개발자, 스택: Java. 추가: 스터디, 온라인 중심",
    "재택 거주, 1년차 개발자, 스택: Django. 추가: 오프라인 중심",
    "제주특별자치도 거주, 1년차 개발자, 스택: Django. 추가: 리서치 중심, 오프라인 중심",
]
MORE_POSTINGS = [
    "부산광역시 지역 프로젝트, 요구 스택: JPA, 필요 경력: 5년차 이상. 특이사항: CS 전공자 필수, 팀 협업",
    "충청북도 지역 프로젝트, 요구 스택: JPA, 필요 경력: 1년차 이상. 특이사항: 프로젝트 중심",
    "제주특별자치도 지역 프로젝트, 요구 스택: Next.js, 필요 경력: 4년차 이상. 특이사항: 프로젝트 중심",
    "전라북도 지역 프로젝트, 요구 스택: React, 필요 경력: 4년차 이상. 특이사항: 리서치 중심, 팀 협업",
    "경기도 지역 프로젝트, 요구 스택: Python (Pandas), 필요 경력: 4년차 이상. 특이사항: 토이 프로젝트, 팀 협업",
    "재택 지역 프로젝트, 요구 스택: React, 필요 경력: 5년차 이상. 특이사항: 비전공자 환영, 프로젝트 중심",
    "경상남도 지역 프로젝트, 요구 스택: Flask, 필요 경력: 7년차 이상 이상. 특이사항: CS 전공자 필수, 팀 협업",
    "서울특별시 지역 프로젝트, 요구 스택: React, 필요 경력: 5년차 이상. 특이사항: 스터디, 팀 협업",
    "부산광역시 지역 프로젝트, 요구 스택: JPA, 필요 경력: 4년차 이상. 특이사항: CS 전공자 필수, 프로젝트 중심",
    "대구광역시 지역 프로젝트, 요구 스택: React, 필요 경력: 3년차 이상. 특이사항: 스터디, 프로젝트 중심",
    "제주특별자치도 지역 프로젝트, 요구 스택: Java, 필요 경력: 5년차 이상. 특이사항: 리서치 중심, 팀 협업",
    "제주특별자치도 지역 프로젝트, 요구 스택: React, 필요 경력: 5년차 이상. 특이사항: 리서치 중심, 팀 협업",
    "경기도 지역 프로젝트, 요구 스택: HTML/CSS/JS, 필요 경력: 4년차 이상. 특이사항: 프로덕트 중심, 프로젝트 중심",
]
SEEDS = (42, 0, 1, 2**32 - 1)


@pytest.fixture(scope="module")
def data() -> PairData:
    return load_pairs(ProjectMatch())


def read(form: re.Pattern[str], sentence: str) -> dict[str, str]:
    match = form.fullmatch(sentence)
    assert match, sentence
    return match.groupdict()


def combination(form: re.Pattern[str], sentence: str) -> Combination:
    parts = read(form, sentence)
    return Combination(parts["stack"], parts["region"], parts["years"])


def combinations(pairs: Dataset) -> list[set[Combination]]:
    return [
        {combination(form, sentence) for sentence in pairs[column]}
        for form, column in ((CARD_PROFILE, "sentence1"), (CARD_POSTING, "sentence2"))
    ]


def word_overlap(first: str, second: str) -> float:
    a, b = (set(re.findall(r"\w+", sentence)) for sentence in (first, second))
    return len(a & b) / len(a | b)


@pytest.mark.parametrize(("profile", "posting", "label"), LABELLED)
def test_labels_of_the_card_come_out(profile: str, posting: str, label: float) -> None:
    assert score(combination(CARD_PROFILE, profile), combination(CARD_POSTING, posting)) == label


def test_sentences_of_the_card_can_be_generated_word_for_word() -> None:
    profiles = {pair[0] for pair in LABELLED} | set(MORE_PROFILES)
    postings = {pair[1] for pair in LABELLED} | set(MORE_POSTINGS)
    assert (len(profiles), len(postings)) == (8, 18)
    for sentences, form, template, extras, years in (
        (profiles, CARD_PROFILE, PROFILE, PROFILE_EXTRAS, YEARS),
        (postings, CARD_POSTING, POSTING, POSTING_EXTRAS, REQUIRED_YEARS),
    ):
        for sentence in sentences:
            parts = read(form, sentence)
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
def test_rule(profile: tuple[str, str, str], posting: tuple[str, str, str], expected: float) -> None:
    assert score(Combination(*profile), Combination(*posting)) == expected


def test_compatibility_is_symmetric_and_as_the_readme_says() -> None:
    text = (Path(src.data.project_match.__file__).parent / "README.md").read_text("utf-8")
    said = {
        frozenset((row[1], row[2])): row[3] == "yes"
        for line in text.splitlines()
        if (row := [cell.strip() for cell in line.split("|")])[1:4] and len(row) == 6 and row[3] in ("yes", "no")
    }
    assert len(said) == 9
    for first, second in product(STACKS, repeat=2):
        expected = said.get(frozenset((first, second)), first == second)
        assert stacks_compatible(first, second) == expected, (first, second)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_seed_gives_the_scores_of_the_card(seed: int) -> None:
    data = load_pairs(ProjectMatch(seed=seed))
    assert data.test is not None
    for pairs, size in ((data.train, 1000), (data.dev, 250), (data.test, 250)):
        scores = np.array(pairs["score"])
        assert (len(scores), scores.min(), scores.max()) == (size, 0.0, 1.0)
        assert scores.mean() == pytest.approx(0.42, abs=1e-9)


@pytest.mark.parametrize("size", [10, 137, 999])
def test_other_sizes_keep_the_mean(size: int) -> None:
    scores = load_pairs(ProjectMatch(train_pairs=size)).train["score"][:]
    assert (len(scores), min(scores), max(scores)) == (size, 0.0, 1.0)
    assert np.mean(scores) == pytest.approx(0.42, abs=0.01)


def test_every_pair_is_scored_by_the_rule(data: PairData) -> None:
    for pairs in (data.train, data.dev, data.test):
        assert pairs is not None
        assert pairs.column_names == ["sentence1", "sentence2", "score"]
        assert [str(feature.dtype) for feature in pairs.features.values()] == ["string", "string", "float64"]
        for first, second, label in zip(pairs["sentence1"], pairs["sentence2"], pairs["score"], strict=True):
            assert score(combination(CARD_PROFILE, first), combination(CARD_POSTING, second)) == label


@pytest.mark.parametrize("seed", SEEDS)
def test_no_combination_is_in_two_splits_on_either_side(seed: int) -> None:
    data = load_pairs(ProjectMatch(seed=seed))
    assert data.test is not None
    train, dev, test = (set.union(*combinations(pairs)) for pairs in (data.train, data.dev, data.test))
    assert not train & dev
    assert not train & test
    assert not dev & test


def test_training_pairs_hold_every_value_on_both_sides_and_no_pair_twice(data: PairData) -> None:
    profiles, postings = combinations(data.train)
    for side, years in ((profiles, YEARS), (postings, REQUIRED_YEARS)):
        assert [{values[i] for values in side} for i in range(3)] == [set(STACKS), set(REGIONS), set(years)]
    pairs = zip(data.train["sentence1"], data.train["sentence2"], strict=True)
    assert len({(combination(CARD_PROFILE, a), combination(CARD_POSTING, b)) for a, b in pairs}) == 1000


def test_the_usage_example_of_the_card_is_generated_in_no_wording(data: PairData) -> None:
    trained = {
        (combination(CARD_PROFILE, a), combination(CARD_POSTING, b))
        for a, b in zip(data.train["sentence1"], data.train["sentence2"], strict=True)
    }
    for profile, posting, _ in LABELLED[3:]:
        assert (combination(CARD_PROFILE, profile), combination(CARD_POSTING, posting)) not in trained


@pytest.mark.parametrize("seed", SEEDS)
def test_regions_are_met_by_the_same_region_for_the_most_part_as_on_the_card(seed: int) -> None:
    train = load_pairs(ProjectMatch(seed=seed)).train
    regions = [
        (read(CARD_PROFILE, a)["region"], read(CARD_POSTING, b)["region"])
        for a, b in zip(train["sentence1"], train["sentence2"], strict=True)
    ]
    met = [pair for pair in regions if pair[0] == pair[1] or "재택" in pair]
    assert np.mean([first == second for first, second in met]) == pytest.approx(5 / 6, abs=0.04)


def test_incompatible_pairs_meet_region_and_years_in_all_four_ways_equally_often(data: PairData) -> None:
    rows = zip(data.train["sentence1"], data.train["sentence2"], data.train["score"], strict=True)
    incompatible = [(read(CARD_PROFILE, a), read(CARD_POSTING, b)) for a, b, label in rows if label == 0]
    met = [score(Combination("Java", *_rest(a)), Combination("Java", *_rest(b))) for a, b in incompatible]
    assert [met.count(value) for value in (0.4, 0.7, 1.0)] == [100, 200, 100]


def _rest(parts: dict[str, str]) -> tuple[str, str]:
    return parts["region"], parts["years"]


def test_same_seed_gives_the_same_pairs_and_another_others(data: PairData) -> None:
    again, other = load_pairs(ProjectMatch()), load_pairs(ProjectMatch(seed=43))
    assert again.train.to_dict() == data.train.to_dict()
    assert set(other.train["sentence1"]) != set(data.train["sentence1"])


def test_dev_and_test_do_not_hang_on_the_number_of_training_pairs(data: PairData) -> None:
    fewer = load_pairs(ProjectMatch(train_pairs=100))
    assert fewer.test is not None and data.test is not None
    assert fewer.dev.to_dict() == data.dev.to_dict()
    assert fewer.test.to_dict() == data.test.to_dict()


def test_the_largest_sizes_can_be_generated() -> None:
    data = load_pairs(ProjectMatch(train_pairs=20_000, dev_pairs=1000, test_pairs=1000, seed=5))
    assert (len(data.train), len(data.dev), len(data.test or ())) == (20_000, 1000, 1000)


def test_origin_says_that_the_pairs_are_generated(data: PairData) -> None:
    assert (data.source, data.origin.name, data.findings) == ("generated", "project_match", ())
    assert "generated by a rule" in str(data.origin.note)


def test_lengths_are_near_those_of_the_card(data: PairData) -> None:
    """The card counts in KR-SBERT's tokens: the mean is compared with that of the card's own sentences."""
    source = read_q4(model_file(MODEL))
    tokenizer = build_tokenizer(source.pieces, source.scores)
    profiles = [*{pair[0] for pair in LABELLED}, *MORE_PROFILES]
    postings = [*{pair[1] for pair in LABELLED}, *MORE_POSTINGS]
    for column, shown, limits in (("sentence1", profiles, (19, 33)), ("sentence2", postings, (26, 42))):
        ours, theirs = ([len(ids) for ids in tokenizer(texts)["input_ids"]] for texts in (data.train[column][:], shown))
        assert (min(ours), max(ours)) == pytest.approx(limits, abs=2.5)
        assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.6)


def test_a_perfect_order_scores_below_one_and_the_surface_far_lower(data: PairData) -> None:
    assert data.test is not None
    gold = np.array(data.test["score"])
    pairs = zip(data.test["sentence1"], data.test["sentence2"], strict=True)
    overlap = np.array([word_overlap(*pair) for pair in pairs])
    assert tie_ceiling(gold) == pytest.approx(0.955, abs=0.0005)
    assert spearman(gold, overlap) < 0.65


@pytest.mark.parametrize("seed", range(3))
def test_tie_ceiling_is_the_spearman_of_any_perfect_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.choice([0.0, 0.4, 0.7, 1.0], 200)
    assert tie_ceiling(gold) == pytest.approx(spearman(gold, gold + rng.uniform(0, 0.01, 200)), abs=1e-12)


def test_tie_ceiling_without_ties_is_one() -> None:
    assert tie_ceiling(np.arange(10.0)) == 1.0


def test_minimal_pairs_differ_in_one_attribute_and_in_score_but_not_in_shared_words(data: PairData) -> None:
    found = minimal_pairs(40, seed=42)
    assert [pair.attribute for pair in found] == ["stack"] * 40 + ["region"] * 40 + ["years"] * 40
    train = set.union(*combinations(data.train))
    for pair in found:
        profile = combination(CARD_PROFILE, pair.profile)
        postings = [combination(CARD_POSTING, posting) for posting in pair.postings]
        texts = [read(CARD_POSTING, posting) for posting in pair.postings]
        assert {name for name in texts[0] if texts[0][name] != texts[1][name]} == {pair.attribute}
        assert pair.scores == tuple(score(profile, posting) for posting in postings)
        assert pair.scores[0] > pair.scores[1]
        assert not train & {profile, *postings}
        common = [set(re.findall(r"\w+", pair.profile)) & set(re.findall(r"\w+", text)) for text in pair.postings]
        assert common[0] == common[1]


@pytest.mark.parametrize(
    "override",
    [
        "data.train_pairs=9",
        "data.train_pairs=20001",
        "data.dev_pairs=0",
        "data.dev_pairs=1001",
        "data.test_pairs=2000",
        "data.seed=-1",
    ],
)
def test_impossible_sizes_are_refused_by_name(override: str, compose: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=override.split("=")[0]):
        compose("data=project_match", override)


def test_experiment_is_the_recipe_of_the_card(compose: Callable[..., Config]) -> None:
    config = compose("+experiment=project_match")
    trainer = config.trainer
    assert (trainer.batch_size, trainer.epochs, trainer.warmup_ratio, trainer.max_grad_norm) == (16, 4, 0.0, 1.0)
    assert (config.name, config.loss.name, config.data) == ("project_match", "cosine_similarity", ProjectMatch())
    assert compose("+experiment=project_match", "trainer.learning_rate=5e-5").trainer.learning_rate == 5e-5
