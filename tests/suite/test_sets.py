"""Sets of a suite: what korean_sts consists of, what is left out and why, and settings that are refused."""

from pathlib import Path

import pytest

from src.cli import CONF
from src.config.data import KlueSts, PairFiles
from src.config.evaluation import EvaluateConfig, MergeConfig, SuiteConfig
from src.config.schema import load_suite
from src.data import hub_sets
from src.suite.sets import load_sets
from src.utils.errors import UserError
from tests.conftest import write_pairs


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub_sets, "hub_reachable", lambda timeout: False)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")


def test_without_a_network_and_folders_the_sets_of_the_project_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KLUE_STS_DIR", "KOR_NLU_DIR"):
        monkeypatch.delenv(name, raising=False)
    loaded, left_out = load_sets(load_suite(CONF / "suite" / "korean_sts.yaml"))
    assert {one.name: len(one.examples) for one in loaded} == {"reviews": 364, "project_match": 250}
    assert list(left_out) == ["klue_airbnb", "klue_policy", "klue_parakqc", "klue_all", "korsts_dev", "korsts_test"]
    assert "KLUE_STS_DIR (data.local_folder) is not set" in left_out["klue_policy"]
    assert left_out["korsts_test"] == "no file KOR_NLU_DIR/sts-train.tsv; the Hugging Face Hub cannot be reached"


def test_klue_sts_is_evaluated_by_domain_and_as_a_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for split, count in (("train", 4), ("dev", 5)):
        domains = ("airbnb", "policy", "paraKQC")
        rows = [f"g,{d},{split} {d} a{i},{split} {d} b{i},{i}" for d in domains for i in range(count)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["guid,source,sentence1,sentence2,label", *rows]), "utf-8")
    monkeypatch.setenv("KLUE_STS_DIR", str(tmp_path))
    pairs = write_pairs(tmp_path / "sts-test.tsv").read_text().replace(",", "\t")
    for name in ("sts-train", "sts-test"):
        (tmp_path / f"{name}.tsv").write_text(pairs.replace("\t1.0", "\t5.0"))
    monkeypatch.setenv("KOR_NLU_DIR", str(tmp_path))
    loaded, left_out = load_sets(load_suite(CONF / "suite" / "korean_sts.yaml"))
    counts = {one.name: len(one.examples) for one in loaded}
    assert counts == {
        **{"klue_airbnb": 5, "klue_policy": 5, "klue_parakqc": 5, "klue_all": 15},
        **{"korsts_test": 40, "reviews": 364, "project_match": 250},
    }
    assert loaded[2].examples["sentence1"][0] == "dev paraKQC a0"
    assert list(left_out) == ["korsts_dev"]
    assert [one.described for one in loaded if one.name == "korsts_test"] == ["sts-test.tsv (files), dev"]


@pytest.mark.parametrize("file", sorted(CONF.glob("suite/*.yaml")), ids=lambda path: path.stem)
def test_every_suite_composes(file: Path) -> None:
    assert load_suite(file).name == file.stem


def test_a_file_is_evaluated_as_a_whole_and_dev_with_train_beside_it(tmp_path: Path) -> None:
    pairs = str(write_pairs(tmp_path / "mine.csv"))
    (whole, both), _ = load_sets(SuiteConfig(sets=[pairs, {"name": "both", "train": pairs, "dev": pairs}]))
    assert (whole.name, len(whole.examples), whole.trains, both.trains) == ("mine", 40, False, True)


def test_a_damaged_file_is_an_error_and_not_left_out(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "mine.csv")
    pairs.write_text(pairs.read_text() + "\na,b,7")
    with pytest.raises(UserError, match=r"mine\.csv, data row 41.*suite\.sets\.mine\.min_score"):
        load_sets(SuiteConfig(sets=[str(pairs)]))
    with pytest.raises(UserError, match=r"none\.csv: expected a file, found nothing"):
        load_sets(SuiteConfig(sets=[str(tmp_path / "none.csv")]))


REFUSED = {
    "suite.sets must be a list of files or mappings, found 3": [3],
    "suite.sets.a.trian: expected a valid setting": [{"name": "a", "dev": "a.csv", "trian": "b.csv"}],
    "suite.sets.a.source must be one of": [{"name": "a", "source": "nli"}],
    "suite.sets.a.split must be one of": [{"name": "a", "dev": "a.csv", "split": "train"}],
    "suite.sets must be sets whose names are": [{"name": "a/b", "dev": "a.csv"}],
    "suite.sets.a: expected dev with a file of examples, or source": [{"name": "a", "max_score": 5}],
    "suite.sets must be a list of sets with different names": ["x/a.csv", "y/a.csv"],
    "suite.sets.a.max_score must be above": [{"name": "a", "dev": "a.csv", "max_score": -1}],
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_mistake_in_a_set_is_named(message: str) -> None:
    with pytest.raises(UserError) as error:
        SuiteConfig(sets=REFUSED[message])
    assert str(error.value).startswith(message)


def test_settings_of_sets_are_those_of_the_data_configurations() -> None:
    one, other = SuiteConfig(
        sets=[{"source": "review_sts", "domain": "all"}, {"name": "n", "first_of": [{"dev": "a"}, {"dev": "b"}]}]
    ).parts()
    assert (one.name, type(one.sources[0]), one.sources[0].domain) == ("review_sts", KlueSts, "all")
    assert [(type(each), each.train, each.dev) for each in other.sources] == [
        (PairFiles, "a", "a"),
        (PairFiles, "b", "b"),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": ""}, "model must be"),
        ({"model": "a", "against": 3}, "against must be"),
        ({"model": "a", "against": ["b", "b"]}, "against must be"),
        ({"model": "a", "precision": "fp8"}, "precision must be"),
        ({"model": "a", "suite": SuiteConfig()}, "suite.sets must be"),
    ],
)
def test_a_mistake_in_an_evaluation_is_named(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        EvaluateConfig(**{"suite": SuiteConfig(sets=["a.csv"]), **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "model must be"),
        ({"model": "a", "weight": 1.5}, "weight must be between 0 and 1, or auto"),
        ({"model": "a", "weight": "half"}, "weight must be"),
        ({"model": "a", "base": None}, "model must be a list of at least two"),
        ({"model": ["a", "b"], "base": None, "weight": "auto"}, "weight must be a number without base"),
        ({"model": "a", "keep": 2}, "keep must be"),
    ],
)
def test_a_mistake_in_a_merge_is_named(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MergeConfig(**settings)
