"""Search in the project's own reviews: scenes, queries and candidates stay apart."""

import pandas as pd
import pytest

from src.config.data import ReviewSearch
from src.data import ExampleSet, digest, load_examples
from src.data.klue_sts import SAMPLE


@pytest.fixture(scope="module")
def data() -> ExampleSet:
    return load_examples(ReviewSearch())


@pytest.fixture(scope="module")
def meanings() -> dict[str, str]:
    table = pd.concat([pd.read_csv(SAMPLE / f"{split}.csv", keep_default_na=False) for split in ("train", "dev")])
    pairs = [table[[f"sentence{i}", f"meaning{i}"]].to_numpy().tolist() for i in (1, 2)]
    return dict(pairs[0] + pairs[1])


def test_positives_have_the_meaning_of_the_anchor_and_negatives_another_of_its_scene(
    data: ExampleSet, meanings: dict[str, str]
) -> None:
    assert data.shape.name == "triplets"
    for split in (data.train, data.dev):
        for row in split:
            anchor, positive, negative = (meanings[row[name]] for name in ("anchor", "positive", "negative"))
            assert anchor == positive != negative
            assert anchor.rpartition(".")[0] == negative.rpartition(".")[0]
            assert row["anchor"] != row["positive"]


def test_whole_scenes_are_in_train_or_in_dev(data: ExampleSet, meanings: dict[str, str]) -> None:
    train, dev = (
        {meanings[text].rpartition(".")[0] for name in split.column_names for text in split[name]}
        for split in (data.train, data.dev)
    )
    assert train and dev and not train & dev
    assert 1500 <= len(data.train) <= 4000


def test_queries_are_no_candidates_and_have_all_candidates_of_their_meaning(data: ExampleSet) -> None:
    for split, meanings in ((data.train, 285), (data.dev, 39)):
        queries, candidates = {*split["anchor"]}, {*split["positive"], *split["negative"]}
        assert not queries & candidates
        assert (len(queries), len(candidates), len({*split["positive"]})) == (3 * meanings,) * 3
        assert pd.Series(split["anchor"]).value_counts().unique().tolist() == [3]


def test_the_choice_depends_on_the_seed_only(data: ExampleSet) -> None:
    again, other = load_examples(ReviewSearch()), load_examples(ReviewSearch(seed=1))
    assert [digest(each.dev) for each in (data, again)] == [digest(data.dev)] * 2
    assert digest(other.train) != digest(data.train) and digest(other.dev) != digest(data.dev)


def test_it_is_marked_as_no_benchmark(data: ExampleSet) -> None:
    assert "no benchmark" in str(data.provenance.note)
    assert (data.source, data.warnings, data.provenance.license) == ("sample", (), "cc0-1.0")
