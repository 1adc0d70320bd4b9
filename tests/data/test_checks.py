import unicodedata

import pyarrow as pa
import pytest

from src.data.checks import CheckedSplit, assemble, check_examples, shared_texts
from src.data.columns import ROW, number_rows
from src.data.examples import Provenance, to_dataset
from src.data.layouts import Layout
from src.data.relations import text_ids
from src.utils.errors import UserError

PROVENANCE = Provenance("test", None, None, "ko", None)


def pairs(rows: list[tuple[object, object, object]], layout: Layout | None = None) -> CheckedSplit:
    names = ["sentence1", "sentence2", "score"]
    table = pa.table(dict(zip(names, map(pa.array, zip(*rows, strict=True)), strict=True)))
    return check_examples(number_rows(table), "p.csv", layout or Layout())


def fillers(count: int, scores: tuple[float, ...] = (0.0, 0.5, 1.0)) -> list[tuple[object, object, object]]:
    return [(f"첫째 {i}", f"둘째 {i}", scores[i % len(scores)]) for i in range(count)]


def test_scores_are_rescaled_to_0_to_1_in_row_order() -> None:
    checked = pairs([("a", "b", "1"), ("c", "d", " 5"), ("e", "f", "2.5e0")], Layout(min_score=1, max_score=5))
    assert checked.table["score"].to_pylist() == [0.0, 1.0, 0.375]
    assert checked.warnings == ()
    assert to_dataset(checked.table).features["score"].dtype == "float64"


@pytest.mark.parametrize("kind", [pa.int8(), pa.float32(), pa.decimal128(22, 2)])
def test_every_number_type_is_accepted(kind: pa.DataType) -> None:
    raw = pa.table({"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": pa.array([0, 1]).cast(kind)})
    assert check_examples(number_rows(raw), "p", Layout()).table["score"].to_pylist() == [0.0, 1.0]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_every_text_type_is_accepted(kind: pa.DataType) -> None:
    raw = pa.table({"sentence1": pa.array(["가", "나"]).cast(kind), "sentence2": ["c", "d"], "score": [0.0, 1.0]})
    table = check_examples(number_rows(raw), "p", Layout()).table
    assert table["sentence1"].type == pa.string()
    assert table["sentence1"].to_pylist() == ["가", "나"]


INVALID_ROWS: dict[str, tuple[tuple[object, object, object], list[str]]] = {
    "empty sentence": (("", "b", "0.5"), ["'sentence1'", "not blank", "''"]),
    "missing sentence": (("a", None, "0.5"), ["'sentence2'", "a sentence", "None"]),
    "blank sentence": (("a", " \u3000\u200b\xa0", "0.5"), ["'sentence2'", "not blank"]),
    "NUL character": (("a\0", "b", "0.5"), ["'sentence1'", "NUL"]),
    "10 MB sentence": (("a" * 10_000_000, "b", "0.5"), ["'sentence1'", "100,000 characters"]),
    "text as score": (("a", "b", "good"), ["'score'", "a number", "'good'"]),
    "decimal comma": (("a", "b", "0,5"), ["'score'", "'0,5'", "such as 0.5"]),
    "empty score": (("a", "b", ""), ["'score'", "a number"]),
    "missing score": (("a", "b", None), ["'score'", "number", "None"]),
    "NaN": (("a", "b", "NaN"), ["'score'", "number", "'NaN'"]),
    "infinity": (("a", "b", "-inf"), ["'score'", "number", "'-inf'"]),
    "overflow": (("a", "b", "1e999"), ["'score'", "finite number", "'1e999'"]),
    "below the range": (("a", "b", "-0.1"), ["'score'", "from 0 to 1", "'-0.1'", "data.min_score=-1"]),
    "labels of 0 to 5": (("a", "b", "4.2"), ["'score'", "from 0 to 1", "'4.2'", "data.max_score=5"]),
    "percentages": (("a", "b", "42"), ["'score'", "data.min_score=0 data.max_score=100"]),
}


@pytest.mark.parametrize("case", INVALID_ROWS)
def test_an_invalid_row_is_named_with_column_value_and_advice(case: str) -> None:
    row, parts = INVALID_ROWS[case]
    with pytest.raises(UserError) as caught:
        pairs([("가", "나", "0.5"), ("다", "라", "1"), row, row])
    assert [part for part in ["p.csv, data row 3,", *parts] if part not in str(caught.value)] == []
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_non_finite_and_missing_scores_are_refused(value: float | None) -> None:
    with pytest.raises(UserError, match="data row 2, column 'score': expected a finite number"):
        pairs([("a", "b", 0.5), ("c", "d", value)])


@pytest.mark.parametrize("column", ["sentence1", "score"])
def test_columns_of_another_type_are_refused(column: str) -> None:
    values = {"sentence1": [1, 2], "score": [True, False]}[column]
    raw = pa.table({"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [0.0, 1.0]} | {column: values})
    with pytest.raises(UserError, match=f"column '{column}'"):
        check_examples(number_rows(raw), "p", Layout())


def test_many_scores_of_0_to_1_in_a_range_of_0_to_5_are_refused() -> None:
    wide = Layout(max_score=5)
    with pytest.raises(UserError, match=r"all 20 within 0 to 1: set data\.min_score=0 data\.max_score=1"):
        pairs(fillers(20), wide)
    assert pairs(fillers(19), wide).table["score"].to_pylist()[1] == 0.1
    assert len(pairs(fillers(20, (0.0, 1.0, 1.5)), wide).table) == 20


def test_emoji_and_right_to_left_text_are_sentences() -> None:
    assert pairs([("😀", "שלום", 0.2), ("مرحبا", "🏠🏠", 0.4)]).warnings == ()


def test_decomposed_hangul_is_composed_and_reported() -> None:
    decomposed = unicodedata.normalize("NFD", "방이 깨끗해요")
    checked = pairs([("좋아요", "네", 0.1), ("싫어요", decomposed, 0.5), (decomposed, "네", 0.3)])
    assert checked.table["sentence2"][1].as_py() == "방이 깨끗해요"
    assert ["1 value(s) of 'sentence" in text and "normalised" in text for text in checked.warnings] == [True, True]
    assert "data row 3." in checked.warnings[0]
    assert "data row 2." in checked.warnings[1]


def test_line_breaks_and_replacement_characters_are_reported() -> None:
    found = pairs([("a", "b", 0.1), ("c\nd", "e", 0.5), ("f", "\ufffd", 0.3)]).warnings
    assert len(found) == 2
    assert "line break" in found[0] and "data row 2." in found[0]
    assert "U+FFFD" in found[1] and "data row 3." in found[1]


def test_duplicate_swapped_and_contradicting_pairs_are_reported() -> None:
    rows = [("a", "b", 0.1), ("c", "d", 0.2), ("a", "b", 0.1), ("d", "c", 0.7), ("a", "c", 0.3)]
    repeated, contradicting = pairs(rows).warnings
    assert "2 pair(s) repeat an earlier pair, 1 of them with the sentences swapped" in repeated
    assert "data rows 1 and 3" in repeated
    assert "1 of the repeated pairs contradict" in contradicting
    assert "data rows 2 and 4 with 0.2 and 0.7" in contradicting


def test_pairs_that_share_one_sentence_are_no_duplicates() -> None:
    assert pairs([("a", "b", 0.1), ("a", "c", 0.2), ("b", "c", 0.3), ("c", "c", 0.9)]).warnings == ()


def test_sentences_in_train_and_dev_are_reported_with_their_rows() -> None:
    train = pairs([("a", "b", 0.1), ("c", "d", 0.2), ("e", "f", 0.3)])
    dev = pairs([("x", "y", 0.1), ("z", "f", 0.2), ("f", "d", 0.3)])
    (warning,) = shared_texts(train, dev)
    assert warning.startswith("2 text(s) occur in both train")
    assert "data row 3 of train and data row 2 of dev" in warning
    assert shared_texts(train, pairs(fillers(3))) == []


def test_row_numbers_are_kept_by_filters() -> None:
    raw = number_rows(pa.table({"sentence1": ["x", "a", "b"], "sentence2": ["y", "c", ""], "score": [0.0, 1.0, 0.5]}))
    with pytest.raises(UserError, match="data row 3"):
        check_examples(raw.slice(1), "p", Layout())


def test_equal_sentences_have_equal_ids_across_chunks_and_tables() -> None:
    first = pa.concat_tables([pairs([("a", "b", 0.1)]).table, pairs([("b", "c", 0.1)]).table])
    second = pairs([("c", "a", 0.1)]).table
    left, right = text_ids(first, second)
    assert left[0, 1] == left[1, 0] and left[1, 1] == right[0, 0] and left[0, 0] == right[0, 1]
    assert len({*left.ravel().tolist(), *right.ravel().tolist()}) == 3


def test_assembled_data_have_both_splits_and_all_warnings() -> None:
    train, dev = pairs([*fillers(4), ("첫째 0", "둘째 0", 0.0)]), pairs(fillers(3))
    data = assemble(train, dev, "files", PROVENANCE, ("given before",))
    assert (len(data.train), len(data.dev), data.test) == (5, 3, None)
    assert data.train.column_names == ["sentence1", "sentence2", "score"]
    assert len(data.warnings) == 3 and data.warnings[0] == "given before"


@pytest.mark.parametrize(("train", "dev", "message"), [(1, 9, "2 pairs for train, found 1"), (9, 2, "3 pairs for dev")])
def test_too_few_pairs_are_refused(train: int, dev: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        assemble(pairs(fillers(train)), pairs(fillers(dev)), "files", PROVENANCE)


@pytest.mark.parametrize("role", ["train", "dev"])
def test_equal_scores_are_refused(role: str) -> None:
    good, constant = pairs(fillers(5)), pairs(fillers(5, (0.5,)))
    with pytest.raises(UserError, match=f"found 0.5 of 1 for all 5 pairs of {role}"):
        assemble(*((constant, good) if role == "train" else (good, constant)), source="files", provenance=PROVENANCE)


def test_data_sets_have_no_row_numbers() -> None:
    assert ROW not in to_dataset(pairs(fillers(3)).table).column_names
