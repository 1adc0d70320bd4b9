"""Pairs for the growth table."""

from pathlib import Path

import pandas as pd
from datasets import Dataset

from src.benchmark import growth

PAIRS = Dataset.from_dict({"sentence1": ["방", "침대"], "sentence2": ["넓어요", "푹신해요"], "score": [0.5, 1.0]})


def test_pairs_are_repeated_with_variation(tmp_path: Path) -> None:
    growth.write_pairs(PAIRS, 7, tmp_path / "train.parquet")
    table = pd.read_parquet(tmp_path / "train.parquet")
    assert len(table) == 7
    assert table["sentence1"].is_unique
    assert table["sentence1"].tolist()[:3] == ["방 0", "침대 0", "방 1"]
    assert table["score"].tolist()[:3] == [0.5, 1.0, 0.5]


def test_pairs_across_pieces_are_complete(tmp_path: Path) -> None:
    count = growth.ROWS_AT_ONCE + 3
    growth.write_pairs(PAIRS, count, tmp_path / "train.parquet")
    assert len(pd.read_parquet(tmp_path / "train.parquet")) == count
