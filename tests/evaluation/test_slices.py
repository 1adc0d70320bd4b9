"""The leading metric on parts of the pairs or queries."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from src.evaluation.metrics import NDCG
from src.evaluation.slices import MIN_ROWS, overlap, slices


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        ("방이 좋아요", "방이 좋아요!", 1.0),
        ("방이 좋아요", "주방은 넓다", 0.0),
        ("숙소가 좋다", "숙소는 좋다", 2 / 4),  # 숙소, 소가, 좋다 and 숙소, 소는, 좋다
        ("A", "a", 1.0),
        ("…", "!", 0.0),
    ],
)
def test_overlap_counts_letter_bigrams(first: str, second: str, share: float) -> None:
    assert overlap(first, second) == pytest.approx(share)


def pairs(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    gold = rng.random(count)
    text = {"sentence1": ["가" * (i + 1) for i in range(count)], "sentence2": ["나"] * count}
    return pd.DataFrame({**text, "gold": gold, "predicted": gold + rng.normal(0, 0.1, count)})


def test_slices_contain_every_pair_once_for_each_feature() -> None:
    table = pairs(90)
    # right on short pairs, reversed on long ones
    table.loc[60:, "predicted"] = -table.loc[60:, "gold"]
    found = [part for part in slices(table, "scored", seed=1) if part.feature == "length"]
    assert [part.rows for part in found] == [30, 30, 30]
    assert [part.label for part in found] == ["2 to 31", "32 to 61", "62 to 91"]
    assert found[0].estimate.value > 0.8 and found[2].estimate.value == pytest.approx(-1)
    assert all(part.estimate.low <= part.estimate.value <= part.estimate.high for part in found[:2])


def test_slices_without_a_defined_spearman_are_left_out() -> None:
    assert slices(pairs(2 * MIN_ROWS), "scored", seed=1) == []
    table = pairs(90)
    table["gold"] = np.repeat([0.0, 0.5, 1.0], 30)
    assert [part.feature for part in slices(table, "scored", seed=1) if part.feature == "score"] == []


def test_labelled_pairs_are_sliced_by_text_only() -> None:
    table = pairs(90).assign(gold=np.tile([0, 1], 45))
    found = slices(table, "labelled", seed=1)
    assert {part.feature for part in found} == {"length"}  # all overlaps are 0
    low = table[table["sentence1"].str.len() <= 30]
    assert found[0].estimate.value == pytest.approx(average_precision_score(low["gold"], low["predicted"]))


def test_queries_are_sliced_by_length_overlap_and_number_of_right_answers() -> None:
    count = 90
    table = pd.DataFrame(
        {
            "anchor": ["방이 좋다" + "가" * i for i in range(count)],
            "positive": ["방이 좋다"] * count,
            "positives": np.repeat([1, 2, 3], 30),
            NDCG: np.repeat([0.25, 0.5, 1.0], 30),
        }
    )
    found = slices(table, "triplets", seed=1)
    assert {part.feature for part in found} == {"length", "lexical overlap", "right answers"}
    last = [part for part in found if part.feature == "right answers"]
    assert [part.estimate for part in last] == [(0.25, 0.25, 0.25), (0.5, 0.5, 0.5), (1, 1, 1)]
    assert [part.rows for part in found if part.feature == "length"] == [30, 30, 30]
