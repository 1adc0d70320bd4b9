"""The pairs written for this project are as their README says."""

import pandas as pd
import pytest

from src.config.data import KlueSts
from src.data import ExampleSet, digest, load_examples, split_off
from src.data.klue_sts import SAMPLE

KLUE_COLUMNS = ["guid", "source", "sentence1", "sentence2", "label"]


@pytest.fixture(scope="module")
def sample() -> ExampleSet:
    return load_examples(KlueSts(sources=["sample"]))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    files = [pd.read_csv(SAMPLE / f"{split}.csv", keep_default_na=False) for split in ("train", "dev")]
    return pd.concat(files)


def test_the_sample_is_large_enough_and_has_the_columns_of_klue_sts(sample: ExampleSet, table: pd.DataFrame) -> None:
    assert len(sample.train) >= 2000
    assert len(sample.dev) >= 255
    assert len(sample.train) + len(sample.dev) == len(table)
    assert list(table.columns[:5]) == KLUE_COLUMNS
    assert table["guid"].is_unique


def test_the_sample_has_many_meanings_and_aspects(table: pd.DataFrame) -> None:
    assert len({*table["meaning1"], *table["meaning2"]} - {""}) >= 250
    assert table["aspect"].nunique() >= 30


def test_no_sentence_is_in_both_splits(sample: ExampleSet) -> None:
    train, dev = ({*split["sentence1"], *split["sentence2"]} for split in (sample.train, sample.dev))
    assert not train & dev


def test_the_scores_are_distributed_as_in_klue_sts(sample: ExampleSet) -> None:
    dev = pd.Series(sample.dev["score"])
    assert 0.45 <= dev.mean() <= 0.55
    assert (dev.min(), dev.max()) == (0.0, 1.0)


def test_the_sample_has_no_warnings(sample: ExampleSet) -> None:
    assert sample.warnings == ()


def test_the_split_of_scored_pairs_is_the_same_as_ever(sample: ExampleSet) -> None:
    # A change of this value changes the validation part of every sweep before.
    assert digest(split_off(sample.train, 0.1, 42, "key")[1]) == "3b36be4b68293f4d1d3ba072970434a1d975"
