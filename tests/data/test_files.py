import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.data.columns import ROW
from src.data.files import open_file, read_columns
from src.utils.errors import UserError

NAMES = ["sentence1", "sentence2", "score"]
HEADER = "sentence1,sentence2,score\n"
ROWS = [("방이 넓어요", "방이 큽니다", 0.9), ("NA", "역이 멀어요", 0.1), ('"최고"라고, 했다', "좋다 했다", 0.5)]


def read_table(path: Path, names: Sequence[str] = NAMES, quoting: str = "auto") -> pa.Table:
    return read_columns(open_file(path, quoting), names, "advice")


def write_csv(path: Path) -> None:
    path.write_text(
        HEADER + '방이 넓어요,방이 큽니다,0.9\nNA,역이 멀어요,0.1\n"""최고""라고, 했다",좋다 했다,0.5\n', "utf-8"
    )


def write_csv_with_bom_and_crlf(path: Path) -> None:
    write_csv(path)
    path.write_text(path.read_text("utf-8").replace("\n", "\r\n"), "utf-8-sig", newline="")


def write_tsv(path: Path) -> None:
    lines = ["sentence1\tsentence2\tscore", "방이 넓어요\t방이 큽니다\t0.9", "NA\t역이 멀어요\t0.1"]
    path.write_text("\n".join([*lines, '"""최고""라고, 했다"\t좋다 했다\t0.5']), "utf-8")


RECORDS = [dict(zip(("sentence1", "sentence2", "score"), row, strict=True), more=[1]) for row in ROWS]


def write_jsonl(path: Path) -> None:
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS), "utf-8")


def write_json(path: Path) -> None:
    path.write_text(json.dumps(RECORDS, indent=4), "utf-8-sig")


def write_csv_with_carriage_returns(path: Path) -> None:
    write_csv(path)
    path.write_text(path.read_text("utf-8").replace("\n", "\r"), "utf-8", newline="")


def write_quoted_header_and_blank_lines(path: Path) -> None:
    write_csv(path)
    lines = path.read_text("utf-8").replace(HEADER, '"sentence1","sentence2","score"\n')
    path.write_text("\n" + lines.replace("\n", "\n\n"), "utf-8")


def write_gzip(path: Path) -> None:
    inner = path.with_suffix("")
    WRITERS[inner.name](inner)
    path.write_bytes(gzip.compress(inner.read_bytes()))


def write_parquet(path: Path) -> None:
    columns = list(zip(*ROWS, strict=True))
    names = ["sentence1", "sentence2", "score", "more"]
    pq.write_table(pa.table([*columns, pa.array([1, 2, 3])], names=names), path)


WRITERS = {
    "pairs.csv": write_csv,
    "bom.CSV": write_csv_with_bom_and_crlf,
    "cr.csv": write_csv_with_carriage_returns,
    "blank.csv": write_quoted_header_and_blank_lines,
    "pairs.tsv": write_tsv,
    "pairs.jsonl": write_jsonl,
    "pairs.json": write_json,
    "lines.json": write_jsonl,
    "array.jsonl": write_json,
    "pairs.csv.gz": write_gzip,
    "pairs.tsv.gz": write_gzip,
    "pairs.jsonl.GZ": write_gzip,
    "pairs.json.gz": write_gzip,
    "pairs.parquet": write_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows_in_file_order(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    table = read_table(tmp_path / name)
    columns = (table[name].to_pylist() for name in ("sentence1", "sentence2", "score"))
    assert [(first, second, float(score)) for first, second, score in zip(*columns, strict=True)] == ROWS
    assert table[ROW].to_pylist() == [1, 2, 3]


def test_named_columns_are_read_and_others_dropped(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("id,a,b,label\n7,방,집,1\n", "utf-8")
    table = read_table(path, ["b", "a", "label"])
    assert table.column_names == ["b", "a", "label", ROW]
    assert table["b"].to_pylist() == ["집"]


NESTED: list[dict[str, object]] = [
    {"sentence1": "a", "sentence2": "b", "labels": {"real-label": 2.5, "more": ["x"]}},
    {"sentence1": "c", "sentence2": "d", "labels": {"real-label": 3.0, "more": ["y"]}},
]


@pytest.mark.parametrize("name", ["p.json", "p.jsonl", "p.parquet"])
def test_nested_fields_have_dotted_names_and_real_names_with_a_dot_take_precedence(tmp_path: Path, name: str) -> None:
    def read(rows: list[dict[str, object]], score: str) -> list[float]:
        if name == "p.parquet":
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
        else:
            (tmp_path / name).write_text("\n".join(map(json.dumps, [rows] if name == "p.json" else rows)), "utf-8")
        return list(read_table(tmp_path / name, ["sentence1", "sentence2", score])[score].to_pylist())

    assert read(NESTED, "labels.real-label") == [2.5, 3.0]
    assert read([{**row, "labels.real-label": 1.5} for row in NESTED], "labels.real-label") == [1.5, 1.5]
    with pytest.raises(UserError, match=r"found \[.*'labels\.real-label'.* without \['labels\.score'\]"):
        read(NESTED, "labels.score")


def test_a_nested_value_of_another_kind_is_named_by_its_row(tmp_path: Path) -> None:
    rows = [*NESTED, {**NESTED[0], "labels": {"real-label": "high"}}]
    (tmp_path / "p.json").write_text(json.dumps(rows), "utf-8")
    with pytest.raises(UserError, match=r"data row 3, column 'labels\.real-label'.*'high'"):
        read_table(tmp_path / "p.json", ["sentence1", "sentence2", "labels.real-label"])


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "score=3"
    folder.mkdir()
    write_parquet(folder / "pairs.parquet")
    assert read_table(folder / "pairs.parquet")["score"].to_pylist() == [0.9, 0.1, 0.5]


GOOD = '{"sentence1": "a", "sentence2": "b", "score": 1}\n'
INVALID_FILES: dict[str, tuple[str, bytes, list[str]]] = {
    "empty": ("p.csv", b"", ["empty file"]),
    "blank lines only": ("p.csv", b"\n\n", ["header"]),
    "header only": ("p.csv", HEADER.encode(), ["header only"]),
    "header without line end": ("p.csv", HEADER.strip().encode(), ["header"]),
    "semicolons": ("p.csv", HEADER.replace(",", ";").encode() + b"a;b;1\n", ["one column", "';'"]),
    "tabs in csv": ("p.csv", HEADER.replace(",", "\t").encode() + b"a\tb\t1\n", ["one column", "rename it to .tsv"]),
    "commas in tsv": ("p.tsv", HEADER.encode() + b"a,b,1\n", ["one column", "','"]),
    "CP949": ("p.csv", HEADER.encode() + "가,나,1\n".encode("cp949"), ["line 2", "byte 0xb0", "UTF-8"]),
    "UTF-8 cut off": ("p.csv", HEADER.encode() + "a,b,1\n가".encode()[:-1], ["line 3", "UTF-8"]),
    "UTF-16": ("p.csv", (HEADER + "가,나,1\n").encode("utf-16"), ["line 1", "UTF-16"]),
    "UTF-16 without BOM": ("p.csv", (HEADER + "a,b,1\n").encode("utf-16-le"), ["NUL byte", "UTF-8"]),
    "NUL": ("p.csv", HEADER.encode() + b"a,b,1\na\0,b,1\n", ["line 3", "NUL byte"]),
    "Excel": ("p.csv", b"PK\x03\x04\x14\x00\x08\x00", ["Excel"]),
    "too few values": ("p.csv", HEADER.encode() + b"a,b,1\n\na,b\n", ["data row 2", "3 values, found 2", "'a,b'"]),
    "too many values": ("p.csv", HEADER.encode() + b"a,b,1\na,b,c,1\n", ["data row 2", "3 values, found 4"]),
    "quote open": ("p.csv", HEADER.encode() + b'a,b,1\n"a,b,1\na,b,1\n', ["data row 2", "quotation mark"]),
    "quote open at the end": ("p.csv", b'score,sentence1,sentence2\n1,a,b\n1,a,"b\n1,a,b\n', ["row 2", "quotation"]),
    "column missing": ("p.csv", b"sentence1,text2,score\na,b,1\n", ["['sentence2']", "text2", "advice"]),
    "column twice": ("p.csv", b"sentence1,sentence2,sentence2,score\na,b,c,1\n", ["['sentence2']", "more than once"]),
    "broken JSON": ("p.jsonl", f"{GOOD}\n{GOOD[:20]}\n".encode(), ["data row 2", "JSON object"]),
    "JSON array of lists": ("p.json", b"[[1, 2]]", ["data row 1", "JSON object", "[1, 2]"]),
    "JSON array cut off": ("p.json", f"[{GOOD},".encode(), ["data row 2", "the end of the file"]),
    "JSON array not closed": ("p.json", f"[{GOOD}".encode(), ["data row 2", "the end of the array"]),
    "JSON array without a comma": ("p.json", f"[{GOOD}{GOOD}]".encode(), ["data row 2", "a comma"]),
    "text after a JSON array": ("p.json", f"[{GOOD}]{GOOD}".encode(), ["nothing after the array"]),
    "JSON field twice": ("p.jsonl", (GOOD + GOOD.replace("{", '{"score": 0, ')).encode(), ["row 2", "'score' twice"]),
    "one JSON object of lists": ("p.json", b'{"data": [1]}', ["found ['data']"]),
    "nested JSON of another kind": (
        "p.jsonl",
        (GOOD + GOOD.replace('"b"', '{"ko": "b"}')).encode(),
        ["row 2", "'sentence2'"],
    ),
    "gzip cut off": ("p.csv.gz", gzip.compress(HEADER.encode() * 99)[:-9], ["complete gzip", "copy it again"]),
    "no gzip": ("p.jsonl.gz", GOOD.encode(), ["gzip file", "take .gz off"]),
    "gzip without its suffix": ("p.csv", gzip.compress(HEADER.encode()), ["line 1", "gzip"]),
    "CP949 in gzip": ("p.tsv.gz", gzip.compress("가\t나\n".encode("cp949")), ["line 1", "UTF-8"]),
    "a stray carriage return": ("p.csv", HEADER.encode() + b"a,b,1\na\rc,b,1\n", ["row 2", "carriage return"]),
    "text after a closing mark": ("p.csv", HEADER.encode() + b'a,b,1\n"a" c,b,1\n', ["row 2 (line 3)", "closing"]),
    "escaped by a backslash": ("p.csv", HEADER.encode() + b'a,b,1\n"a \\"c\\" d",b,1\n', ["row 2 (line 3)"]),
    "JSON score as text": ("p.jsonl", (GOOD + GOOD.replace("1}", '"x"}')).encode(), ["row 2", "'score'", "'x'"]),
    "JSON score as truth": ("p.jsonl", (GOOD + GOOD.replace("1}", "true}")).encode(), ["row 2", "'score'", "True"]),
    "JSON text as number": ("p.jsonl", (GOOD + GOOD.replace('"b"', "3")).encode(), ["row 2", "'sentence2'", "3"]),
    "JSON lone surrogate": (
        "p.jsonl",
        (GOOD + GOOD.replace('"b"', '"\\ud83d"')).encode(),
        ["row 2", "'sentence2'", "lone surrogates"],
    ),
    "JSON in CP949": ("p.jsonl", GOOD.replace("a", "가").encode("cp949"), ["line 1", "UTF-8"]),
    "JSON column missing": ("p.jsonl", b'{"sentence1": "a", "score": 1}\n', ["['sentence2']"]),
    "JSON blank": ("p.jsonl", b"\n \n", ["found []"]),
    "no Parquet": ("p.parquet", HEADER.encode(), ["Parquet"]),
    "Parquet cut off": ("p.parquet", b"PAR1aaaa", ["Parquet"]),
    "other ending": ("p.xlsx", b"PK", [".csv", "'.xlsx'"]),
}


@pytest.mark.parametrize("case", INVALID_FILES)
def test_an_invalid_file_is_named_with_place_and_advice(tmp_path: Path, case: str) -> None:
    name, content, parts = INVALID_FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_table(tmp_path / name)
    message = str(caught.value)
    assert str(tmp_path / name) in message
    assert "\n" not in message
    assert len(message) < 600
    assert [part for part in parts if part not in message] == []


def test_missing_files_and_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found nothing"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="directory"):
        read_table(tmp_path / "folder.csv")


def test_the_row_number_counts_quoted_line_breaks_and_blocks_correctly(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("src.data.text_files.BLOCK", 4096)
    path = tmp_path / "p.csv"
    path.write_text(HEADER + '"a\nb",c,1\n' * 2000 + "a,b\n", "utf-8")
    with pytest.raises(UserError, match=r"data row 2001 \(line 4002\):"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", HEADER + "a,b,1\n" + "a" * 20_000 + ",b,1\n"),
        ("p.csv", HEADER + "a,b,1\n" + '"a,b,1\n' + "a,b,1\n" * 5000),
        ("p.csv", HEADER + '"a\n",' * 5000),
        ("p.json", f'[{GOOD}, {{"sentence1": "' + "a" * 20_000),
    ],
)
def test_the_size_of_a_row_is_limited(tmp_path: Path, name: str, content: str, monkeypatch) -> None:
    for module in ("text_files", "delimited", "json_files"):
        monkeypatch.setattr(f"src.data.{module}.BLOCK", 4096)
    monkeypatch.setattr("src.data.text_files.READ", 1000)
    monkeypatch.setattr("src.data.json_files.READ", 1000)
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(UserError, match=r"4,096 characters|data row 2"):
        read_table(tmp_path / name)


def test_any_number_of_blank_lines_is_skipped(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("src.data.delimited.BLOCK", 4096)
    (tmp_path / "p.csv").write_text(HEADER + "\n" * 5000 + "a,b,1\n" + "\n" * 5000 + "a,b\n", "utf-8")
    with pytest.raises(UserError, match=r"data row 2 \(line 10003\)"):
        read_table(tmp_path / "p.csv")


def test_utf8_across_blocks_is_read_and_a_late_error_has_its_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("src.data.text_files.BLOCK", 64)
    path = tmp_path / "p.csv"
    path.write_bytes(HEADER.encode() + "가나다라,마바사,1\n".encode() * 50)
    assert read_table(path).num_rows == 50
    path.write_bytes(path.read_bytes() + b"\xb0\xa1,b,1\n")
    with pytest.raises(UserError, match="line 52"):
        read_table(path)


def test_extra_json_columns_may_mix_types(tmp_path: Path) -> None:
    mixed = GOOD.replace("}", ', "x": 1}') + GOOD.replace("}", ', "x": "a"}')
    (tmp_path / "p.jsonl").write_text(mixed, "utf-8")
    assert read_table(tmp_path / "p.jsonl").num_rows == 2
    (tmp_path / "p.jsonl").write_text(mixed + GOOD.replace("1}", '"1"}'), "utf-8")
    with pytest.raises(UserError, match="data row 3, column 'score'"):
        read_table(tmp_path / "p.jsonl")
