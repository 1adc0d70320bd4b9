import numpy as np
import pytest
from datasets import Dataset

from src.data import digest
from src.data.split import split_off
from src.utils.errors import UserError

KEY = "sweep.validation"


def make_pairs(count: int, shared: int = 0) -> Dataset:
    """Pairs with skewed scores, of which the first `shared` form chains of three that share sentences."""
    names = [(f"a{i}", f"b{i}") for i in range(count)]
    for i in range(0, shared - 2, 3):
        names[i : i + 3] = [(f"a{i}", f"b{i}"), (f"b{i}", f"c{i}"), (f"d{i}", f"c{i}")]
    scores = np.random.default_rng(0).beta(0.5, 1.0, count).round(2)
    return Dataset.from_dict(
        {"sentence1": [a for a, _ in names], "sentence2": [b for _, b in names], "score": scores.tolist()}
    )


def sentences(dataset: Dataset) -> set[str]:
    return {*dataset["sentence1"], *dataset["sentence2"]}


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("shared", [0, 900])
def test_the_part_has_its_share_its_scores_and_no_shared_sentence(fraction: float, shared: int) -> None:
    pairs = make_pairs(2000, shared)
    rest, part = split_off(pairs, fraction, 1, KEY)
    assert len(rest) + len(part) == 2000
    assert abs(len(part) - fraction * 2000) <= 3
    assert not sentences(rest) & sentences(part)
    grid = np.linspace(0, 1, 21)
    shares = [np.searchsorted(np.sort(half["score"]), grid, side="right") / len(half) for half in (pairs, part)]
    assert np.abs(shares[0] - shares[1]).max() < 0.08
    assert abs(np.mean(part["score"]) - np.mean(pairs["score"])) < 0.03


def test_scores_are_stratified() -> None:
    pairs = make_pairs(2000)
    gaps = [abs(np.mean(split_off(pairs, 0.1, seed, KEY)[1]["score"]) - np.mean(pairs["score"])) for seed in range(10)]
    chance = np.std(pairs["score"]) / np.sqrt(200)
    assert np.mean(gaps) < 0.3 * chance


def test_a_split_depends_on_the_seed() -> None:
    first, again, other = (split_off(make_pairs(300, 60), 0.1, seed, KEY) for seed in (7, 7, 8))
    assert [digest(half) for half in first] == [digest(half) for half in again]
    assert digest(first[1]) != digest(other[1])


def test_both_parts_keep_the_order() -> None:
    rest, part = split_off(make_pairs(100), 0.2, 3, KEY)
    for half in (rest, part):
        numbers = [int(name[1:]) for name in half["sentence1"]]
        assert numbers == sorted(numbers)


def test_a_selection_of_rows_is_split() -> None:
    rest, part = split_off(make_pairs(100).select(range(50, 70)), 0.25, 3, KEY)
    assert sentences(rest) | sentences(part) == {f"{side}{i}" for side in "ab" for i in range(50, 70)}
    assert len(part) == 5


def test_a_large_group_goes_to_the_rest_and_blocks_no_other_pair() -> None:
    star = {"sentence1": ["same"] * 60, "sentence2": [f"x{i}" for i in range(60)], "score": [1.0] * 60}
    single = make_pairs(60).to_dict() | {"score": [1.0 if i % 2 else i / 60 for i in range(60)]}
    pairs = Dataset.from_dict({key: star[key] + single[key] for key in star})
    for seed in range(10):
        rest, part = split_off(pairs, 0.1, seed, KEY)
        assert len(part) == 12
        assert "same" in sentences(rest) - sentences(part)


def test_pairs_that_all_share_sentences_cannot_be_split() -> None:
    chain = Dataset.from_dict(
        {
            "sentence1": [f"s{i}" for i in range(30)],
            "sentence2": [f"s{i + 1}" for i in range(30)],
            "score": [i / 30 for i in range(30)],
        }
    )
    with pytest.raises(UserError, match=r"30 of 30 pairs connected .* set another sweep\.validation\."):
        split_off(chain, 0.1, 0, KEY)


@pytest.mark.parametrize(
    ("score", "fraction", "found"),
    [
        (None, 0.02, "0.02 of train: expected at least 3 pairs for dev, found 2: add pairs to it"),
        (None, 0.99, "0.01 of train: expected at least 2 pairs for train, found 1: add pairs to it"),
        (0.5, 0.1, "0.9 of train, column 'score': expected different scores, .*: add pairs with other scores"),
    ],
)
def test_unusable_halves_are_refused(score: float | None, fraction: float, found: str) -> None:
    pairs = make_pairs(100)
    if score is not None:
        pairs = pairs.map(lambda _: {"score": score})
    with pytest.raises(UserError, match=rf"sweep\.validation={fraction}, {found}, or set another sweep\.validation"):
        split_off(pairs, fraction, 0, KEY)


def test_triplets_keep_their_texts_apart() -> None:
    texts = np.random.default_rng(1).integers(0, 900, (300, 3))
    triplets = Dataset.from_dict(
        {
            name: [f"{'q' if name == 'anchor' else 'd'}{number}" for number in column]
            for name, column in zip(("anchor", "positive", "negative"), texts.T, strict=True)
        }
    )
    rest, part = split_off(triplets, 0.1, 1, KEY)
    assert len(rest) + len(part) == 300 and 25 <= len(part) <= 35
    assert not {text for name in rest.column_names for text in rest[name]} & {
        text for name in part.column_names for text in part[name]
    }


def test_labels_are_stratified() -> None:
    pairs = make_pairs(1000).remove_columns("score").add_column("label", [int(i % 10 == 0) for i in range(1000)])
    for seed in range(5):
        assert sum(split_off(pairs, 0.1, seed, KEY)[1]["label"]) == 10
