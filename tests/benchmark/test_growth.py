"""The growth table: its pairs, the trainings it runs, and its rows."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from datasets import Dataset

from src.benchmark import growth
from src.config import BenchSettings, Config
from src.config.commands import BenchConfig
from src.data import ExampleSet, Provenance
from src.evaluation.result import Result

PAIRS = Dataset.from_dict({"sentence1": ["방", "침대"], "sentence2": ["넓어요", "푹신해요"], "score": [0.5, 1.0]})


def test_pairs_are_repeated_with_variation(tmp_path: Path) -> None:
    growth.write_pairs(PAIRS, 7, tmp_path / "train.parquet")
    table = pd.read_parquet(tmp_path / "train.parquet")
    assert len(table) == 7
    assert table["sentence1"].is_unique
    assert table["sentence1"].tolist()[:3] == ["방 0", "침대 0", "방 1"]
    assert table["score"].tolist()[:3] == [0.5, 1.0, 0.5]


def test_pairs_across_chunks_are_complete(tmp_path: Path) -> None:
    count = growth.CHUNK_ROWS + 3
    growth.write_pairs(PAIRS, count, tmp_path / "train.parquet")
    table = pd.read_parquet(tmp_path / "train.parquet")
    assert len(table) == count and table["sentence1"].is_unique


def test_each_number_of_pairs_is_trained_for_the_same_steps_with_one_evaluation(
    tiny_config: Callable[..., Config],
    make_result: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[list[str]] = []
    folders: list[Path] = []

    def trained(trainings: dict[str, list[str]], folder: Path) -> dict[str, Result]:
        commands.extend(trainings.values())
        folders.append(folder)
        result = make_result(startup_seconds=len(pd.read_parquet(tmp_path / "train.parquet")) / 100)
        return dict.fromkeys(trainings, result)

    monkeypatch.setattr(growth, "train_in_turns", trained)
    settings = BenchSettings(**vars(tiny_config()), bench=BenchConfig(sizes=[100, 300], growth_steps=7))
    data = ExampleSet(PAIRS, PAIRS, None, "files", Provenance("pairs", None, None, "ko", None), ())
    table, markdown = growth.measure_growth(settings, ["+experiment=review_sts"], data, tmp_path)
    assert [(row["pairs"], row["startup_seconds"]) for row in table["rows"]] == [(100, 1.0), (300, 3.0)]
    assert table["data_source"] == "files" and len(set(folders)) == 2
    assert "| 300 | 3 | 20.0 | 300 |" in markdown
    for overrides in commands:
        assert overrides[0] == "+experiment=review_sts"
        assert {"trainer.max_steps=7", "trainer.eval_steps=7", "trainer.eval_every_epochs=null"} < set(overrides)
