"""Files of texts: all formats, errors with their place, atomic writes."""

import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.data import parquet_files
from src.data.files import FORMATS
from src.prediction.tables import TextTable, check_output, open_table, pair_columns, write_table
from src.utils.errors import UserError

ROWS = [
    {"id": "007", "sentence1": "방이 넓어요", "sentence2": "방이 큽니다"},
    {"id": "NA", "sentence1": "NA", "sentence2": '"최고"라고, 했다\t정말'},
    {"id": "", "sentence1": "첫 줄\n다음 줄", "sentence2": "역이 멀어요"},
]
PAIR = pair_columns("sentence1", "sentence2")

WriteRows = Callable[[Path, list[dict[str, str]]], None]


def read_back(path: Path) -> list[dict[str, Any]]:
    source = open_table(str(path), PAIR)
    return [row for chunk in source.chunks() for row in chunk.table.to_pylist()]


def copy(source: TextTable, path: Path) -> None:
    write_table(path, source.schema, (chunk.table for chunk in source.chunks(2)))


@pytest.mark.parametrize("into", FORMATS)
@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_can_be_converted_to_every_other(
    ending: str, into: str, write_rows: WriteRows, tmp_path: Path
) -> None:
    write_rows(tmp_path / f"in{ending}", ROWS)
    copy(open_table(str(tmp_path / f"in{ending}"), PAIR), tmp_path / f"out{into}")
    assert read_back(tmp_path / f"out{into}") == ROWS


@pytest.mark.parametrize("ending", FORMATS)
def test_chunks_of_any_size_contain_all_rows_in_order(ending: str, write_rows: WriteRows, tmp_path: Path) -> None:
    rows = [{"sentence1": f"문장 {number}", "sentence2": f"글 {number}"} for number in range(5000)]
    write_rows(tmp_path / f"p{ending}", rows)
    source = open_table(str(tmp_path / f"p{ending}"), PAIR)
    assert source.rows == 5000
    for size in (7, 1024, 10_000):
        chunks = list(source.chunks(size))
        assert max(chunk.table.num_rows for chunk in chunks) <= size
        assert [text for chunk in chunks for text in chunk.texts[0]] == [row["sentence1"] for row in rows]


def test_texts_are_normalised_as_in_training_and_the_columns_are_unchanged(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    decomposed = unicodedata.normalize("NFD", "한국어")
    write_rows(tmp_path / "p.csv", [{"sentence1": decomposed, "sentence2": "글"}])
    (chunk,) = open_table(str(tmp_path / "p.csv"), PAIR).chunks()
    assert chunk.texts[0] == ["한국어"]
    assert chunk.table["sentence1"].to_pylist() == [decomposed]


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("sentence1,sentence2\r\n방,집\r\n", "utf-8-sig", newline="")
    assert read_back(tmp_path / "p.csv") == [{"sentence1": "방", "sentence2": "집"}]


def test_json_keeps_numbers_lists_and_fields_missing_in_some_rows(tmp_path: Path) -> None:
    rows = [
        {"sentence1": "방", "sentence2": "집", "n": 1, "tags": ["a", "b"]},
        {"sentence1": "역", "sentence2": "길", "n": 2.5, "more": {"x": None}},
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    source = open_table(str(tmp_path / "p.jsonl"), PAIR)
    copy(source, tmp_path / "out.jsonl")
    kept = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert kept[0] == {**rows[0], "more": None}
    assert kept[1] == {**rows[1], "tags": None}
    copy(source, tmp_path / "out.csv")
    assert '"[""a"", ""b""]"' in (tmp_path / "out.csv").read_text("utf-8")


def test_nan_is_null_in_json(tmp_path: Path) -> None:
    numbers = {"n": [float("nan")], "infinite": [float("inf")], "list": [[1.0, float("nan")]]}
    table = pa.table({"sentence1": ["방"], "sentence2": ["집"], **numbers})
    write_table(tmp_path / "out.jsonl", table.schema, [table])
    written = json.loads((tmp_path / "out.jsonl").read_text("utf-8"))
    assert (written["n"], written["infinite"], written["list"]) == (None, None, [1.0, None])


def test_parquet_keeps_types_and_has_few_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "ROW_GROUP", 50)
    table = pa.table({"sentence1": ["방"] * 120, "sentence2": ["집"] * 120, "day": pa.array([1] * 120, pa.date32())})
    pq.write_table(table.replace_schema_metadata({"pandas": "{}"}), tmp_path / "p.parquet")
    source = open_table(str(tmp_path / "p.parquet"), PAIR)
    write_table(tmp_path / "out.parquet", source.schema, (chunk.table for chunk in source.chunks(10)))
    assert pq.read_table(tmp_path / "out.parquet").equals(table)
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3


HEADER = "sentence1,sentence2\n"
GOOD = '{"sentence1": "a", "sentence2": "b"}\n'
ERRORS: dict[str, tuple[str, bytes, list[str]]] = {
    "missing cell": ("p.csv", f"{HEADER}a,b\na,\n".encode(), ["data row 2", "'sentence2'", "''"]),
    "blank": ("p.tsv", "sentence1\tsentence2\na\tb\n 　\tb\n".encode(), ["data row 2", "'sentence1'", "not blank"]),
    "null": ("p.jsonl", (GOOD + '{"sentence1": "a"}').encode(), ["data row 2", "'sentence2'", "None"]),
    "blank late": ("p.csv", (HEADER + "a,b\n" * 3000 + " ,b\n").encode(), ["data row 3001", "'sentence1'"]),
    "no rows": ("p.csv", HEADER.encode(), ["header only", "add rows"]),
    "empty": ("p.csv", b"", ["empty file"]),
    "no rows in JSON": ("p.jsonl", b"\n", ["'sentence1'"]),
    "missing column": ("p.csv", b"sentence1,text\na,b\n", ["['sentence2']", "set sentence1="]),
    "column twice": ("p.csv", b"id,id,sentence1,sentence2\n1,2,a,b\n", ["['id']", "more than once"]),
    "semicolons": ("p.csv", b"sentence1;sentence2\na;b\n", ["';'"]),
    "ragged": ("p.csv", f"{HEADER}a,b\na,b,c\n".encode(), ["data row 2", "2 values, found 3"]),
    "quote open": ("p.csv", f'{HEADER}a,b\na,"b\na,b\n'.encode(), ["data row 2", "quotation mark"]),
    "CP949": ("p.csv", HEADER.encode() + "가,나\n".encode("cp949"), ["line 2", "UTF-8"]),
    "other ending": ("p.xlsx", b"PK", ["'.xlsx'", "convert"]),
    "no Parquet": ("p.parquet", HEADER.encode(), ["Parquet"]),
    "broken JSON": ("p.jsonl", (GOOD + GOOD[:20]).encode(), ["data row 2", "JSON object"]),
    "number in JSON": ("p.jsonl", (GOOD + GOOD.replace('"b"', "3")).encode(), ["data row 2", "'sentence2'", "found 3"]),
    "numbers in JSON": ("p.jsonl", GOOD.replace('"b"', "3").encode(), ["'sentence2'", "int64"]),
    "mixed list in JSON": ("p.jsonl", GOOD.replace("}", ', "x": [1, "a"]}').encode(), ["data row 1", "'x[]'"]),
    "large number in JSON": ("p.jsonl", GOOD.replace("}", f', "x": {10**30}}}').encode(), ["one type"]),
    "both names taken": ("p.csv", b"sentence1,sentence2,score,predicted\na,b,1,2\n", ["score", "rename"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_names_the_file_and_the_place(case: str, tmp_path: Path) -> None:
    name, content, parts = ERRORS[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_table(str(tmp_path / name), PAIR)
    sentence = str(caught.value)
    assert sentence.startswith(str(tmp_path / name))
    assert "\n" not in sentence
    assert [part for part in parts if part not in sentence] == []


def test_the_error_for_a_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv: expected a file, found nothing"):
        open_table(str(tmp_path / "none.csv"), PAIR)


def test_an_impossible_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.csv").touch()
    (tmp_path / "folder.csv").mkdir()
    refused = {
        "out.txt": "ends in one of",
        "none/out.csv": "expected a folder",
        "folder.csv": "found a folder",
        "in.csv": "found the same",
        "folder.csv/../in.csv": "found the same",
    }
    for name, words in refused.items():
        with pytest.raises(UserError, match=words):
            check_output(str(tmp_path / name), [str(tmp_path / "in.csv")])
    assert check_output(str(tmp_path / "out.csv"), [str(tmp_path / "in.csv")]) == tmp_path / "out.csv"


@pytest.mark.parametrize("ending", FORMATS)
def test_a_failed_write_leaves_no_file_or_the_former_one_unchanged(ending: str, tmp_path: Path) -> None:
    table = pa.table({"a": ["x"] * 10})

    def chunks() -> Iterator[pa.Table]:
        yield table
        raise UserError("no more")

    (tmp_path / f"former{ending}").write_text("unchanged")
    for name in (f"former{ending}", f"new{ending}"):
        with pytest.raises(UserError, match="no more"):
            write_table(tmp_path / name, table.schema, chunks())
    assert [path.name for path in tmp_path.iterdir()] == [f"former{ending}"]
    assert (tmp_path / f"former{ending}").read_text() == "unchanged"


def test_values_that_a_format_does_not_support_are_reported_in_one_sentence(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([{}], pa.struct([]))})
    with pytest.raises(UserError, match="choose another output"):
        write_table(tmp_path / "out.parquet", table.schema, [table])
    assert not list(tmp_path.iterdir())
