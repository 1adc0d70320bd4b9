"""Repeated, contradicting, equal and shared texts of examples that are no scored pairs."""

from pathlib import Path

import pytest

from src.config.data import PairFiles
from src.data import ExampleSet, load_examples
from src.utils.errors import UserError

TRIPLETS = [f"질문 {i},답 {i},오답 {i}" for i in range(4)]


def load(folder: Path, rows: list[str], dev: list[str], header: str = "anchor,positive,negative") -> ExampleSet:
    for name, lines in (("train.csv", rows), ("dev.csv", dev)):
        (folder / name).write_text("\n".join([header, *lines]), "utf-8")
    return load_examples(PairFiles(train=str(folder / "train.csv"), dev=str(folder / "dev.csv")))


DEV = [f"dev 질문 {i},dev 답 {i},dev 오답 {i}" for i in range(3)]
REPORTED: dict[str, tuple[list[str], list[str], str]] = {
    "a repeated row": (
        [*TRIPLETS, TRIPLETS[1]],
        DEV,
        "1 example(s) repeat an earlier example; the first are data rows",
    ),
    "a positive equal to its anchor": ([*TRIPLETS, "a,a,b"], DEV, "1 positive(s) are equal to their anchor"),
    "a negative that is a positive elsewhere": (
        [*TRIPLETS, "질문 0,더 0,답 0"],
        DEV,
        "train.csv: 1 negative(s) are a positive of the same anchor in another row; the first is in data row 5, column"
        " 'negative'.",
    ),
    "a text of train in dev": (
        TRIPLETS,
        [*DEV, "x,y,오답 2"],
        "1 text(s) occur in both train",
    ),
    "a query that is a candidate": (
        TRIPLETS,
        [*DEV, "q,y,dev 질문 1"],
        "dev.csv: 1 anchor(s) of dev are also a positive or negative, and are ranked first for themselves; the first is"
        " in data row 2.",
    ),
}


@pytest.mark.parametrize("case", REPORTED)
def test_unusual_triplets_are_used_and_reported(case: str, tmp_path: Path) -> None:
    rows, dev, warning = REPORTED[case]
    data = load(tmp_path, rows, dev)
    (found,) = data.warnings
    assert warning in found
    assert (len(data.train), len(data.dev)) == (len(rows), len(dev))


def test_usual_triplets_are_not_reported(tmp_path: Path) -> None:
    shared_candidates = ["질문 7,답 7,답 0", "질문 0,답 0,답 7", "질문 0,답 8,오답 3"]
    assert load(tmp_path, [*TRIPLETS[1:], *shared_candidates], DEV).warnings == ()


@pytest.mark.parametrize(("other", "column"), [("positive", "답 1"), ("anchor", "질문 1")])
def test_a_negative_equal_to_another_text_of_its_row_is_refused_with_the_number_of_such_rows(
    other: str, column: str, tmp_path: Path
) -> None:
    rows = [*TRIPLETS, f"질문 1,답 1,{column}", f"질문 1,답 1,{column}"]
    message = rf"data row 5, column 'negative': expected another text than its {other}, .*\(2 row\(s\) of the file\)"
    with pytest.raises(UserError, match=message):
        load(tmp_path, rows, DEV)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,b,c"], "expected at least 2 examples for train, found 1: add examples to it"),
        (["a,b,c", "a,d,e"], "'anchor': expected different anchors, found 'a' for all 2 examples of train"),
        (["a,b,c", "d,b,e"], "'positive': expected different positives, found 'b' for all 2 examples of train"),
    ],
)
def test_examples_from_which_nothing_is_learnt_are_refused(rows: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, rows, DEV)


def test_contradicting_labels_are_reported(tmp_path: Path) -> None:
    rows = [f"a{i},b{i},{i % 2}" for i in range(4)]
    data = load(tmp_path, [*rows, "b1,a1,0"], ["x,y,1", "z,x,0", "y,z,1"], "sentence1,sentence2,label")
    assert "1 pair(s) repeat an earlier pair, 1 of them with the sentences swapped" in data.warnings[0]
    assert "1 of the repeated pairs contradict the earlier label; the first are data rows 2 and 5" in data.warnings[1]
    assert len(data.warnings) == 2
