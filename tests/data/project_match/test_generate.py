"""Generated pairs agree with the published card, with the rule, and with the documentation."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from src.config import Config
from src.config.data import ProjectMatch
from src.data import ExampleSet, load_examples
from src.data.project_match import REGIONS, REQUIRED_YEARS, STACKS, YEARS, Combination, score
from src.encoder.embedded import MODEL
from src.encoder.q4_file import model_file, read_q4
from src.encoder.tokenizer import build_tokenizer
from src.evaluation.statistics import spearman, tie_ceiling
from src.prediction.learnt_rule import minimal_pairs
from src.utils.errors import UserError
from tests.data.project_match.card import (
    CARD_POSTING,
    CARD_PROFILE,
    LABELLED,
    POSTINGS,
    PROFILES,
    combination,
    combinations,
    parse,
)

SEEDS = (42, 0, 1, 2**32 - 1)


@pytest.fixture(scope="module")
def data() -> ExampleSet:
    return load_examples(ProjectMatch())


def word_overlap(first: str, second: str) -> float:
    a, b = (set(re.findall(r"\w+", sentence)) for sentence in (first, second))
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_seed_gives_the_scores_of_the_card(seed: int) -> None:
    data = load_examples(ProjectMatch(seed=seed))
    assert data.test is not None
    for pairs, size in ((data.train, 1000), (data.dev, 250), (data.test, 250)):
        scores = np.array(pairs["score"])
        assert (len(scores), scores.min(), scores.max()) == (size, 0.0, 1.0)
        assert scores.mean() == pytest.approx(0.42, abs=1e-9)


@pytest.mark.parametrize("size", [10, 137, 999])
def test_other_sizes_keep_the_mean(size: int) -> None:
    scores = load_examples(ProjectMatch(train_pairs=size)).train["score"][:]
    assert (len(scores), min(scores), max(scores)) == (size, 0.0, 1.0)
    assert np.mean(scores) == pytest.approx(0.42, abs=0.01)


def test_every_pair_is_scored_by_the_rule(data: ExampleSet) -> None:
    for pairs in (data.train, data.dev, data.test):
        assert pairs is not None
        assert pairs.column_names == ["sentence1", "sentence2", "score"]
        assert [str(feature.dtype) for feature in pairs.features.values()] == ["string", "string", "float64"]
        for first, second, label in zip(pairs["sentence1"], pairs["sentence2"], pairs["score"], strict=True):
            assert score(combination(CARD_PROFILE, first), combination(CARD_POSTING, second)) == label


@pytest.mark.parametrize("seed", SEEDS)
def test_no_combination_is_in_two_splits_on_either_side(seed: int) -> None:
    data = load_examples(ProjectMatch(seed=seed))
    assert data.test is not None
    train, dev, test = (set.union(*combinations(pairs)) for pairs in (data.train, data.dev, data.test))
    assert not train & dev
    assert not train & test
    assert not dev & test


def test_training_pairs_have_every_value_on_both_sides_and_no_pair_twice(data: ExampleSet) -> None:
    profiles, postings = combinations(data.train)
    for side, years in ((profiles, YEARS), (postings, REQUIRED_YEARS)):
        assert [{values[i] for values in side} for i in range(3)] == [set(STACKS), set(REGIONS), set(years)]
    pairs = zip(data.train["sentence1"], data.train["sentence2"], strict=True)
    assert len({(combination(CARD_PROFILE, a), combination(CARD_POSTING, b)) for a, b in pairs}) == 1000


def test_the_usage_example_of_the_card_is_not_generated(data: ExampleSet) -> None:
    trained = {
        (combination(CARD_PROFILE, a), combination(CARD_POSTING, b))
        for a, b in zip(data.train["sentence1"], data.train["sentence2"], strict=True)
    }
    for profile, posting, _ in LABELLED[3:]:
        assert (combination(CARD_PROFILE, profile), combination(CARD_POSTING, posting)) not in trained


@pytest.mark.parametrize("seed", SEEDS)
def test_most_met_regions_are_the_same_as_on_the_card(seed: int) -> None:
    train = load_examples(ProjectMatch(seed=seed)).train
    regions = [
        (parse(CARD_PROFILE, a)["region"], parse(CARD_POSTING, b)["region"])
        for a, b in zip(train["sentence1"], train["sentence2"], strict=True)
    ]
    met = [pair for pair in regions if pair[0] == pair[1] or "재택" in pair]
    assert np.mean([first == second for first, second in met]) == pytest.approx(5 / 6, abs=0.04)


def test_incompatible_pairs_meet_region_and_years_in_all_four_ways_equally_often(data: ExampleSet) -> None:
    rows = zip(data.train["sentence1"], data.train["sentence2"], data.train["score"], strict=True)
    incompatible = [(parse(CARD_PROFILE, a), parse(CARD_POSTING, b)) for a, b, label in rows if label == 0]
    met = [score(Combination("Java", *_rest(a)), Combination("Java", *_rest(b))) for a, b in incompatible]
    assert [met.count(value) for value in (0.4, 0.7, 1.0)] == [100, 200, 100]


def _rest(parts: dict[str, str]) -> tuple[str, str]:
    return parts["region"], parts["years"]


def test_pairs_depend_on_the_seed(data: ExampleSet) -> None:
    again, other = load_examples(ProjectMatch()), load_examples(ProjectMatch(seed=43))
    assert again.train.to_dict() == data.train.to_dict()
    assert set(other.train["sentence1"]) != set(data.train["sentence1"])


def test_dev_and_test_do_not_depend_on_the_number_of_training_pairs(data: ExampleSet) -> None:
    fewer = load_examples(ProjectMatch(train_pairs=100))
    assert fewer.test is not None and data.test is not None
    assert fewer.dev.to_dict() == data.dev.to_dict()
    assert fewer.test.to_dict() == data.test.to_dict()


def test_the_largest_sizes_can_be_generated() -> None:
    data = load_examples(ProjectMatch(train_pairs=20_000, dev_pairs=1000, test_pairs=1000, seed=5))
    assert (len(data.train), len(data.dev), len(data.test or ())) == (20_000, 1000, 1000)


def test_provenance_states_that_the_pairs_are_generated(data: ExampleSet) -> None:
    assert (data.source, data.provenance.name, data.warnings) == ("generated", "project_match", ())
    assert "generated by a rule" in str(data.provenance.note)


def test_lengths_are_close_to_those_of_the_card(data: ExampleSet) -> None:
    """The card counts in KR-SBERT's tokens: the mean is compared with that of the card's own sentences."""
    source = read_q4(model_file(MODEL))
    tokenizer = build_tokenizer(source.pieces, source.scores)
    for column, card, limits in (("sentence1", PROFILES, (19, 33)), ("sentence2", POSTINGS, (26, 42))):
        ours, theirs = ([len(ids) for ids in tokenizer(texts)["input_ids"]] for texts in (data.train[column][:], card))
        assert (min(ours), max(ours)) == pytest.approx(limits, abs=2.5)
        assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.6)


def test_a_perfect_order_scores_below_one_and_word_overlap_far_lower(data: ExampleSet) -> None:
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


def test_minimal_pairs_differ_in_one_attribute_and_in_score_but_not_in_shared_words(data: ExampleSet) -> None:
    found = minimal_pairs(40, seed=42)
    assert [pair.attribute for pair in found] == ["stack"] * 40 + ["region"] * 40 + ["years"] * 40
    train = set.union(*combinations(data.train))
    for pair in found:
        profile = combination(CARD_PROFILE, pair.profile)
        postings = [combination(CARD_POSTING, posting) for posting in pair.postings]
        texts = [parse(CARD_POSTING, posting) for posting in pair.postings]
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


def test_the_experiment_has_the_settings_of_the_card(compose: Callable[..., Config]) -> None:
    config = compose("+experiment=project_match")
    trainer = config.trainer
    assert (trainer.batch_size, trainer.epochs, trainer.warmup_ratio, trainer.max_grad_norm) == (16, 4, 0.0, 1.0)
    assert (config.name, config.loss.name, config.data) == ("project_match", "auto", ProjectMatch())
    assert compose("+experiment=project_match", "trainer.learning_rate=5e-5").trainer.learning_rate == 5e-5
