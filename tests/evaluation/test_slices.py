"""Spearman on parts of the pairs."""

import numpy as np
import pandas as pd
import pytest

from src.evaluation.slices import MIN_PAIRS, overlap, slices


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
    found = [part for part in slices(table, seed=1) if part.feature == "length"]
    assert [part.pairs for part in found] == [30, 30, 30]
    assert [part.label for part in found] == ["2 to 31", "32 to 61", "62 to 91"]
    assert found[0].spearman.value > 0.8 and found[2].spearman.value == pytest.approx(-1)
    assert all(part.spearman.low <= part.spearman.value <= part.spearman.high for part in found[:2])


def test_slices_without_a_defined_spearman_are_left_out() -> None:
    assert slices(pairs(2 * MIN_PAIRS), seed=1) == []
    table = pairs(90)
    table["gold"] = np.repeat([0.0, 0.5, 1.0], 30)
    assert [part.feature for part in slices(table, seed=1) if part.feature == "score"] == []
