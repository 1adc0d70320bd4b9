import subprocess
import sys

import numpy as np
import pytest
from datasets import Dataset

from src.data import digest
from src.data.split import split_folds, split_off
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


def make_triplets(texts: int) -> Dataset:
    numbers = np.random.default_rng(1).integers(0, texts, (300, 3))
    return Dataset.from_dict(
        {
            name: [f"{'q' if name == 'anchor' else 'd'}{number}" for number in column]
            for name, column in zip(("anchor", "positive", "negative"), numbers.T, strict=True)
        }
    )


def test_triplets_keep_their_texts_apart() -> None:
    triplets = make_triplets(900)
    rest, part = split_off(triplets, 0.1, 1, KEY)
    assert len(rest) + len(part) == 300 and 25 <= len(part) <= 35
    assert not {text for name in rest.column_names for text in rest[name]} & {
        text for name in part.column_names for text in part[name]
    }


def test_labels_are_stratified() -> None:
    pairs = make_pairs(1000).remove_columns("score").add_column("label", [int(i % 10 == 0) for i in range(1000)])
    for seed in range(5):
        assert sum(split_off(pairs, 0.1, seed, KEY)[1]["label"]) == 10


def texts_of(dataset: Dataset) -> set[str]:
    return {text for name in dataset.column_names if name not in ("score", "label") for text in dataset[name]}


FOLDED = {
    "pairs": make_pairs(500, 90),
    "labels": make_pairs(500, 90).remove_columns("score").add_column("label", [int(i % 10 == 0) for i in range(500)]),
    "triplets": make_triplets(3000),
}


@pytest.mark.parametrize("examples", FOLDED.values(), ids=FOLDED)
def test_folds_hold_out_every_example_once_and_share_no_text(examples: Dataset) -> None:
    folds = split_folds(examples, 5, 1, "sweep.folds")
    assert len(folds) == 5
    held_out = [tuple(row.values()) for _, part in folds for row in part.to_list()]
    assert sorted(held_out) == sorted(tuple(row.values()) for row in examples.to_list())
    for rest, part in folds:
        assert len(rest) + len(part) == len(examples)
        assert not texts_of(rest) & texts_of(part)
        assert abs(len(part) - len(examples) / 5) <= 0.1 * len(examples)


def test_folds_are_stratified_and_keep_the_order() -> None:
    for _, part in split_folds(FOLDED["labels"], 5, 3, "sweep.folds"):
        assert 9 <= sum(part["label"]) <= 11
    pairs = FOLDED["pairs"]
    chance = np.std(pairs["score"]) / np.sqrt(100)
    for _, part in split_folds(pairs, 5, 3, "sweep.folds"):
        assert abs(np.mean(part["score"]) - np.mean(pairs["score"])) < 0.5 * chance
        numbers = [int(name[1:]) for name in part["sentence2"]]
        assert numbers == sorted(numbers)


def fold_digests(seed: int) -> list[str]:
    return [digest(half) for halves in split_folds(make_pairs(120, 60), 4, seed, "sweep.folds") for half in halves]


def test_folds_depend_on_the_seed_and_are_the_same_in_another_process() -> None:
    code = "from tests.data.test_split import fold_digests; print(*fold_digests(7))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert other == fold_digests(7) != fold_digests(8)


def test_folds_that_are_not_possible_are_refused() -> None:
    few = make_pairs(4)
    with pytest.raises(UserError, match=r"sweep\.folds=5: expected at least 5 groups .* found 4 among 4 pairs: set a"):
        split_folds(few, 5, 0, "sweep.folds")
    with pytest.raises(
        UserError, match=r"sweep\.folds=50, fold 1: expected at least 3 pairs for dev, found 2: .*smaller"
    ):
        split_folds(make_pairs(100), 50, 0, "sweep.folds")
    rare = make_pairs(60).remove_columns("score").add_column("label", [int(i < 2) for i in range(60)])
    with pytest.raises(UserError, match=r"sweep\.folds=5, fold \d, column 'label': expected different labels"):
        split_folds(rare, 5, 0, "sweep.folds")
