"""Several sets of examples as one, and their settings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.cli.overrides import prepare_overrides
from src.config import Config
from src.config.data import KlueSts, Mixture, PairFiles, ReviewSearch
from src.data import digest, load_examples
from src.utils.errors import UserError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with scored pairs and triplets."""
    sts = [f"방 {i},숙소 {i},{i % 6}" for i in range(40)]
    nli = [f"전제 {i},함의 {i},모순 {i}" for i in range(40)]
    (tmp_path / "sts.csv").write_text("\n".join(["sentence1,sentence2,score", *sts]), "utf-8")
    (tmp_path / "nli.csv").write_text("\n".join(["anchor,positive,negative", *nli]), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


STS = {"train": "sts.csv", "max_score": 5}
SETS: dict[str, Any] = {"sts": STS, "nli": {"train": "nli.csv"}}


def test_the_first_set_is_the_primary_one_and_has_the_others(files: Path) -> None:
    data = load_examples(Mixture(sets=SETS))
    assert list(data.sets) == ["sts", "nli"]
    assert [each.shape.name for each in data.sets.values()] == ["scored", "triplets"]
    assert digest(data.dev) == digest(load_examples(PairFiles(**STS)).dev)
    assert (data.provenance.name, data.others[0].provenance.name) == ("sts.csv", "nli.csv")
    assert list(load_examples(Mixture(sets=SETS, primary="nli")).sets) == ["nli", "sts"]


def test_warnings_name_their_set_and_texts_of_train_in_the_primary_dev(files: Path) -> None:
    text = (files / "nli.csv").read_text("utf-8")
    (files / "more.csv").write_text(f"{text}\n방 3,a,숙소 4", "utf-8")
    sets = {"sts": {**STS, "dev": "sts.csv"}, "nli": {"train": "more.csv", "dev": "nli.csv"}}
    first, second, third = load_examples(Mixture(sets=sets)).warnings
    assert first.startswith("sts: 80 text(s) occur in both train (sts.csv) and dev (sts.csv)")
    assert second.startswith("nli: 120 text(s) occur in both train (more.csv)")
    assert third == ("2 text(s) occur in both train of the set 'nli' and dev of the set 'sts', such as '방 3'.")


def test_a_set_can_be_built_in_and_has_a_loss_and_a_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLUE_STS_DIR", "/klue")
    sets = {
        "a": {"source": "review_search", "seed": 3, "loss": "mnrl", "weight": 0.5},
        "b": {"source": "review_sts", "loss": {"name": "cosent", "scale": 10}},
        "c": {"train": "a.csv"},
    }
    parts = Mixture(sets=sets).parts()
    assert (parts["a"].data, parts["a"].loss.name, parts["a"].weight) == (ReviewSearch(seed=3), "mnrl", 0.5)
    assert (parts["b"].data, parts["b"].loss.scale) == (KlueSts(local_folder="/klue"), 10)
    assert (parts["c"].data, parts["c"].loss.name, parts["c"].weight) == (PairFiles(train="a.csv"), "auto", 1.0)


INVALID: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no set": ({}, ("data.sets must be", "data.sets={sts: {train: sts.tsv}}")),
    "a file in place of settings": ({"nli": "a.tsv"}, ("data.sets.nli must be a mapping", "'a.tsv'")),
    "an unknown key": ({"nli": {"trian": "a.tsv"}}, ("data.sets.nli.trian", "not in 'PairFiles'")),
    "a wrong type": ({"nli": {"train": "a", "negatives": "many"}}, ("data.sets.nli.negatives", "'many'")),
    "no file": ({"nli": {"shape": "triplets"}}, ("data.sets.nli.train", "missing mandatory value")),
    "an unknown shape": ({"nli": {"train": "a", "shape": "pair"}}, ("data.sets.nli.shape must be one of", "'pair'")),
    "an empty range": (
        {"nli": {"train": "a", "min_score": 1}},
        ("data.sets.nli.max_score must be above data.sets.nli.min_score 1.0",),
    ),
    "an unknown loss": ({"nli": {"train": "a", "loss": "l2"}}, ("data.sets.nli.loss.name must be", "'l2'")),
    "a loss of another kind": ({"nli": {"train": "a", "loss": 5}}, ("data.sets.nli.loss must be a name or", "found 5")),
    "an unknown key of a loss": ({"nli": {"train": "a", "loss": {"temp": 1}}}, ("data.sets.nli.loss.temp",)),
    "a weight of 0": ({"nli": {"train": "a", "weight": 0}}, ("data.sets.nli.weight must be above 0",)),
    "an unknown source": ({"nli": {"source": "snli"}}, ("data.sets.nli.source must be one of", "review_search")),
    "a file of a built-in set": ({"a": {"source": "review_search", "train": "a"}}, ("data.sets.a.train",)),
    "a name with a dot": ({"a.b": {"train": "a"}}, ("data.sets must be a mapping", "'a.b'")),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_settings_are_refused_by_key(case: str) -> None:
    sets, parts = INVALID[case]
    with pytest.raises(UserError) as caught:
        Mixture(sets=sets)
    message = str(caught.value)
    assert "\n" not in message and [part for part in parts if part not in message] == []


def test_an_unknown_primary_set_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.primary must be one of \['sts', 'nli'\], found 'mnli'"):
        Mixture(sets=SETS, primary="mnli")


def test_errors_of_a_set_name_it_and_its_settings(files: Path) -> None:
    message = (
        r"^data\.sets\.sts: sts\.csv, data row 3, .* set data\.sets\.sts\.min_score=0 data\.sets\.sts\.max_score=5"
    )
    with pytest.raises(UserError, match=message):
        load_examples(Mixture(sets={**SETS, "sts": {"train": "sts.csv"}}))


def test_sets_of_a_command_line_keep_their_order_and_name_the_primary_one(compose: Callable[..., Config]) -> None:
    sets = "{sts: {train: b.csv, min_score: 0, max_score: 5}, nli: {train: a.csv, shape: triplets, weight: 0.5}}"
    typed = ["data=mixture", f"data.sets={sets}"]
    config = compose(*prepare_overrides(typed))
    assert isinstance(config.data, Mixture)
    assert (config.name, config.data.primary, list(config.data.sets)) == ("mixture", "sts", ["sts", "nli"])
    config = compose(*prepare_overrides([*typed, "data.primary=nli", "data.sets.nli.weight=2"]))
    assert (config.data.primary, config.data.parts()["nli"].weight) == ("nli", 2)


def test_labels_of_a_command_line_may_be_words_or_numbers(compose: Callable[..., Config]) -> None:
    for labels, expected in (("{yes: 1, no: 0, none: null}", {"yes": 1, "no": 0, "none": None}), ("{2: 1}", {"2": 1})):
        config = compose(*prepare_overrides(["data=pairs", "data.train=a.csv", f"data.labels={labels}"]))
        assert config.data.labels == expected
    with pytest.raises(UserError, match=r"data\.labels must be 0, 1 or null for each label"):
        PairFiles(train="a.csv", labels={"yes": 2})
