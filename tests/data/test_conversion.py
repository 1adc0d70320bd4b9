"""Lists and labels of files become rows of a shape."""

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from src.config.data import PairFiles
from src.data import ExampleSet, hub_sets, load_examples
from src.utils.errors import UserError

Record = dict[str, Any]


def write(path: Path, records: list[Record]) -> str:
    if path.suffix == ".parquet":
        pd.DataFrame(records).to_parquet(path)
    elif path.suffix == ".tsv":
        pd.DataFrame(records).to_csv(path, sep="\t", index=False)
    else:
        text = "\n".join(map(json.dumps, [records] if ".json." in f"{path.name}." else records)).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return str(path)


def load(path: Path, records: list[Record], **settings: Any) -> ExampleSet:
    """Load the records as train and as dev."""
    name = write(path, records)
    return load_examples(PairFiles(train=name, dev=name, **settings))


def queries(count: int, positives: int = 1, negatives: int = 2) -> list[Record]:
    return [
        {
            "query": f"질문 {i}",
            "pos": [f"답 {i}.{j}" for j in range(positives)],
            "neg": [f"오답 {i}.{j}" for j in range(negatives)],
        }
        for i in range(count)
    ]


@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "p.jsonl.gz", "p.parquet"])
def test_each_positive_of_a_list_is_a_row_and_each_negative_a_column(tmp_path: Path, name: str) -> None:
    data = load(tmp_path / name, queries(3, positives=2))
    assert data.shape.name == "triplets"
    assert data.train.column_names == ["anchor", "positive", "negative_1", "negative_2"]
    assert data.train["positive"][:] == [f"답 {i}.{j}" for i in range(3) for j in range(2)]
    assert data.train[3] == {
        "anchor": "질문 1",
        "positive": "답 1.1",
        "negative_1": "오답 1.0",
        "negative_2": "오답 1.1",
    }


def test_one_negative_of_a_list_has_the_plain_name(tmp_path: Path) -> None:
    assert load(tmp_path / "p.jsonl", queries(3, negatives=1)).train.column_names == ["anchor", "positive", "negative"]


def test_rows_without_negatives_and_negatives_beyond_the_fewest_are_left_out_and_counted(tmp_path: Path) -> None:
    records = [{**queries(1)[0], "neg": []}, *queries(9)[1:], {**queries(10, negatives=5)[9]}]
    data = load(tmp_path / "p.jsonl", records)
    assert (len(data.train), data.train.column_names[2:]) == (9, ["negative_1", "negative_2"])
    few, many, *_ = data.warnings
    assert "1 example(s) with fewer than 2 negatives were left out, the first of data row 1;" in few
    assert "3 negative(s) were left out, those after the first 2 of an example." in many
    assert len(load(tmp_path / "p.jsonl", records, shape="positives").train) == 10


def test_the_number_of_negatives_can_be_set(tmp_path: Path) -> None:
    records = [*queries(6), *({**record, "neg": record["neg"][:1]} for record in queries(9)[6:])]
    data = load(tmp_path / "p.jsonl", records, negatives=2)
    assert (len(data.train), data.train.column_names[2:]) == (6, ["negative_1", "negative_2"])
    assert "3 example(s) with fewer than 2 negatives were left out, the first of data row 7" in data.warnings[0]
    with pytest.raises(UserError, match=r"'neg': expected rows with 3 negatives \(data\.negatives\), found at most 2"):
        load(tmp_path / "p.jsonl", records, negatives=3)


def test_lists_without_any_negatives_are_positives(tmp_path: Path) -> None:
    assert load(tmp_path / "p.jsonl", queries(4, negatives=0)).shape.name == "positives"
    with pytest.raises(
        UserError, match=r"expected triplets, found no negatives in column 'neg'.*data\.shape=positives"
    ):
        load(tmp_path / "p.jsonl", queries(4, negatives=0), shape="triplets")


def test_negatives_that_the_first_rows_do_not_have_are_found(tmp_path: Path) -> None:
    records = [{"query": "a", "pos": ["b"]}, *queries(4)]
    data = load(tmp_path / "p.jsonl", records)
    assert (data.shape.name, len(data.train)) == ("triplets", 4)


INVALID: dict[str, tuple[Record, str]] = {
    "no positive": ({"pos": []}, r"data row 3, column 'pos': expected a list with at least one text, found \[\]"),
    "a missing list": ({"pos": None}, "data row 3, column 'pos': expected a list with at least one text, found None"),
    "a blank text": ({"pos": ["x", " "]}, "data row 3, column 'pos': expected a sentence, not blank, found ' '"),
    "a missing text": ({"neg": ["x", None]}, "data row 3, column 'neg': expected a sentence, found None"),
    "a number": ({"neg": ["x", 3]}, r"data row 3, column 'neg\[\]': expected a text in quotation marks, found 3"),
    "a lone surrogate": ({"pos": ["\ud800"]}, r"data row 3, column 'pos\[\]': expected text without lone surrogates"),
    "a text": ({"pos": "x"}, "data row 3, column 'pos': expected a list, found 'x'"),
    "a positive as negative": (
        {"pos": ["x"], "neg": ["y", "x"]},
        "data row 3, column 'neg': expected another text than its positive, found 'x'",
    ),
    "the query as negative": (
        {"query": "y", "neg": ["y", "x"]},
        "data row 3, column 'neg': expected another text than its anchor, found 'y'",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_list_is_named_by_row_and_column(tmp_path: Path, case: str) -> None:
    change, message = INVALID[case]
    records = queries(4)
    records[2] |= change
    with pytest.raises(UserError, match=message):
        load(tmp_path / "p.jsonl", records)


def nli(count: int, words: tuple[Any, ...] = ("entailment", "neutral", "contradiction")) -> list[Record]:
    return [
        {"premise": f"전제 {i}", "hypothesis": f"가설 {i}.{label}", "gold_label": label}
        for i in range(count)
        for label in words
    ]


@pytest.mark.parametrize("name", ["p.tsv", "p.jsonl", "p.parquet"])
@pytest.mark.parametrize("words", [("entailment", "neutral", "contradiction"), (0, 1, 2)])
def test_an_entailment_and_a_contradiction_of_one_premise_become_a_triplet(
    tmp_path: Path, name: str, words: tuple[Any, ...]
) -> None:
    data = load(tmp_path / name, nli(4, words))
    assert data.train.column_names == ["anchor", "positive", "negative"]
    expected = {"anchor": "전제 1", "positive": f"가설 1.{words[0]}", "negative": f"가설 1.{words[2]}"}
    assert (len(data.train), data.train[1]) == (4, expected)
    assert any("12 labelled pairs became 4 triplets." in warning for warning in data.warnings)


def test_premises_without_both_labels_are_counted(tmp_path: Path) -> None:
    records = [*nli(4), *nli(6)[12:14], *({**record, "gold_label": "-"} for record in nli(7)[18:])]
    data = load(tmp_path / "p.jsonl", records)
    assert len(data.train) == 4
    assert any(
        "17 labelled pairs became 4 triplets; 2 of 6 texts of 'premise' were left out, which have no pair with"
        " gold_label entailment and another with contradiction." in warning
        for warning in data.warnings
    )


@pytest.mark.parametrize("shape", ["auto", "positives"])
def test_labelled_pairs_of_which_none_fits_are_refused(tmp_path: Path, shape: str) -> None:
    with pytest.raises(UserError, match=r"6 labelled pairs became 0 .*set another data\.shape, or data\.labels"):
        load(tmp_path / "p.jsonl", nli(3, ("neutral", "contradiction")), shape=shape)


def test_every_entailment_and_contradiction_of_a_premise_is_used(tmp_path: Path) -> None:
    more = [{"premise": "전제 0", "hypothesis": f"더 {i}", "gold_label": "entailment"} for i in range(2)]
    data = load(tmp_path / "p.jsonl", [*nli(3), *more])
    rows = [row for row in data.train if row["anchor"] == "전제 0"]
    assert [row["positive"] for row in rows] == ["가설 0.entailment", "더 0", "더 1"]
    assert Counter(row["negative"] for row in rows) == {"가설 0.contradiction": 3}


def test_a_hypothesis_with_both_labels_makes_no_triplet(tmp_path: Path) -> None:
    twice = [{"premise": "p", "hypothesis": "h", "gold_label": label} for label in ("entailment", "contradiction")]
    assert "p" not in load(tmp_path / "p.jsonl", [*nli(3), *twice]).train["anchor"]


def test_entailed_hypotheses_become_positives(tmp_path: Path) -> None:
    data = load(tmp_path / "p.jsonl", nli(4), shape="positives")
    assert data.train.to_dict() == {
        "anchor": [f"전제 {i}" for i in range(4)],
        "positive": [f"가설 {i}.entailment" for i in range(4)],
    }
    assert "12 labelled pairs became 4 positives, those with gold_label entailment." in data.warnings[0]


LABELS: dict[str, tuple[tuple[Any, ...], dict[str, Any], list[int]]] = {
    "words": (("entailment", "neutral", "contradiction"), {"shape": "labelled"}, [1, 0, 0]),
    "numbers of NLI": ((0, 1, 2), {"shape": "labelled"}, [1, 0, 0]),
    "zero and one": ((0, 1), {}, [0, 1]),
    "true and false": ((True, False), {}, [1, 0]),
    "fractions": ((1.0, 0.0), {}, [1, 0]),
    "a mapping of words": (("같음", "다름", "모름"), {"labels": {"같음": 1, "다름": 0, "모름": None}}, [1, 0]),
    "a mapping of numbers": ((0, 1, 2), {"labels": {0: None, 1: 0, 2: 1}}, [0, 1]),
}


@pytest.mark.parametrize("name", ["p.tsv", "p.jsonl"])
@pytest.mark.parametrize("case", LABELS)
def test_labels_become_0_and_1(tmp_path: Path, case: str, name: str) -> None:
    words, settings, expected = LABELS[case]
    data = load(tmp_path / name, nli(3, words), **settings)
    assert data.train.column_names == ["sentence1", "sentence2", "label"]
    assert (data.train["label"][:], data.train.features["label"].dtype) == (3 * expected, "int64")
    left_out = [warning for warning in data.warnings if "3 row(s) were left out, whose label" in warning]
    assert bool(left_out) == (len(expected) < len(words))


def test_triplets_are_made_with_own_labels(tmp_path: Path) -> None:
    labels = {"함의": 1, "중립": None, "모순": 0}
    data = load(tmp_path / "p.jsonl", nli(3, tuple(labels)), shape="triplets", labels=labels)
    assert data.train[0] == {"anchor": "전제 0", "positive": "가설 0.함의", "negative": "가설 0.모순"}


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (("entailment", "maybe"), {}, r"data row 2, column 'gold_label': expected one of the labels \['entailment'.*"
         r"found 'maybe': set data\.labels=\{LABEL: 1, …\}"),
        ((1, 3), {}, r"column 'gold_label': expected .*found 3: set data\.score=gold_label if these are scores"),
        (("a", "b"), {"labels": {"a": 1}}, r"data row 2, .*expected one of the labels \['a'\], found 'b'"),
        (("a", None), {"labels": {"a": 1}}, "data row 2, .* found None"),
        ((1, 1), {}, "expected different labels, found 1 for all 6 pairs of train"),
    ],
)  # fmt: skip
def test_labels_without_a_value_are_refused(tmp_path: Path, words: Any, settings: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path / "p.jsonl", nli(3, words), **settings)


def test_the_labels_of_dev_mean_what_they_mean_in_train(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", nli(4, (0, 1, 2)))
    dev = write(tmp_path / "dev.jsonl", nli(4, (0, 1)))
    data = load_examples(PairFiles(train=train, dev=dev, shape="labelled"))
    assert data.dev["label"][:] == [1, 0] * 4
    with pytest.raises(UserError, match=r"train\.jsonl, data row 3, column 'gold_label': expected one of .*'0', '1'"):
        load_examples(PairFiles(train=dev, dev=train))


def test_a_stray_number_among_labels_of_0_and_1_is_refused(tmp_path: Path) -> None:
    records: list[Record] = [{"sentence1": f"a{i}", "sentence2": f"b{i}", "label": i % 2} for i in range(60)]
    records[30]["label"] = 2
    with pytest.raises(UserError, match=r"stray\.tsv, data row 31, column 'label': .*\['0', '1', .*found '2'"):
        load(tmp_path / "stray.tsv", records)


def test_words_in_train_give_no_meaning_to_numbers_in_dev(tmp_path: Path) -> None:
    train = write(tmp_path / "train.tsv", nli(4))
    dev = write(tmp_path / "dev.tsv", [{**record, "gold_label": i % 2} for i, record in enumerate(nli(4))])
    with pytest.raises(UserError, match=r"dev\.tsv, data row 1, column 'gold_label': expected one of the labels"):
        load_examples(PairFiles(train=train, dev=dev, shape="labelled"))


def test_dev_has_the_shape_of_train(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", queries(4))
    dev = write(tmp_path / "dev.tsv", nli(4))
    data = load_examples(PairFiles(train=train, dev=dev))
    assert data.dev.column_names == ["anchor", "positive", "negative"]
    with pytest.raises(
        UserError, match=r"train\.jsonl: expected the columns .* without \['sentence1', 'sentence2', 'label'\]"
    ):
        load_examples(PairFiles(train=write(tmp_path / "l.tsv", nli(4, (0, 1))), dev=train))


def test_numbers_of_labels_on_the_hub_have_the_meaning_of_their_names(tmp_path: Path, monkeypatch: Any) -> None:
    features = Features(
        {"premise": Value("string"), "hypothesis": Value("string"), "label": ClassLabel(names=["not", "entailment"])}
    )
    records = [{"premise": f"a{i}", "hypothesis": f"b{i}", "label": i % 2} for i in range(8)]
    records.append({"premise": "a", "hypothesis": "b", "label": -1})  # undecided
    table = Dataset.from_list(records, features=features)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(hub_sets, "hub_reachable", lambda timeout: True)
    monkeypatch.setattr("datasets.load_dataset", lambda *args, **options: table)
    with pytest.raises(UserError, match=r"expected one of the labels .* found 'not'"):
        load_examples(PairFiles(train="owner/rte", dev="dev"))
    data = load_examples(PairFiles(train="owner/rte", dev="dev", labels={"not": 0, "entailment": 1, "-": None}))
    assert data.train["label"][:] == [0, 1] * 4


@pytest.mark.parametrize(("shape", "columns", "rows"), [("auto", 3, 830), ("positives", 2, 830), ("labelled", 3, 2490)])
def test_xnli_as_published_is_read(shape: str, columns: int, rows: int) -> None:
    folder = os.environ.get("KOR_NLU_DIR")
    if not folder:
        pytest.skip("needs KOR_NLU_DIR, a folder with XNLI as published")
    data = load_examples(PairFiles(train=f"{folder}/xnli.dev.ko.tsv", shape=shape))
    assert (len(data.train.column_names), len(data.train) + len(data.dev)) == (columns, rows)
    assert not {*data.train["anchor" if columns == 2 else data.train.column_names[0]]} & {
        *data.dev[data.train.column_names[0]]
    }
