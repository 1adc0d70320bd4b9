"""Quotation marks in CSV and TSV: unquoted files, open marks, and the row at fault; no row is lost or changed."""

import csv
import gzip
import os
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.config.data import PairFiles
from src.data import load_examples
from src.data.columns import ROW
from src.data.files import FORMATS, open_file, read_columns
from src.prediction.tables import open_table, pair_columns, write_table
from src.utils.errors import UserError

NAMES = ["sentence1", "sentence2", "score"]
Rows = list[tuple[str, str, str]]


def numbered(count: int = 40) -> Rows:
    return [(f"방이 좋아요 {number}", f"숙소가 괜찮네요 {number}", f"0.{number % 10}") for number in range(count)]


def joined(rows: Rows, delimiter: str = "\t") -> str:
    return "".join(delimiter.join(row) + "\n" for row in [NAMES, *rows])


def replaced(rows: Rows, **values: tuple[str, str, str]) -> Rows:
    """Return the rows with some replaced, by the number of the data row, as in row8=("a", "b", "1")."""
    return [values.get(f"row{number}", row) for number, row in enumerate(rows, start=1)]


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8", newline="")
    return path


def read(path: Path, quoting: str = "auto") -> Rows:
    table = read_columns(open_file(path, quoting), NAMES, "advice")
    assert table[ROW].to_pylist() == list(range(1, table.num_rows + 1))
    return list(zip(*(table[name].to_pylist() for name in NAMES), strict=True))


OPEN = replaced(numbered(), row8=("방", '"숙소라고 그녀가', "0.5"), row13=("방", '"숙소라고 그가', "0.5"))
CLOSES = replaced(numbered(), row8=("방", '"숙소', "0.5"), row13=("방", '집"', "0.5"))
UNQUOTED = {
    "closed marks at the start": [('"삶"에 대한 정의', "정의", "0.5"), ("좋아요", '"왜" 그랬니', "0.1")],
    "one open mark": replaced(numbered(), row8=("방", '"숙소', "0.5")),
    "two open marks": OPEN,
    "marks that join complete rows": CLOSES,
    "a mark alone": [('"', "정의", "0.5")],
    "a text in three marks beside bare ones": [('"""삶"""', "b", "1"), ('"삶"에', "b", "1"), ('"왜" 그랬니', "b", "1")],
    "an open mark beside enclosed values": [('"방', '"집"', "0.5"), ('"전부"', "끝", "0.1")],
}


@pytest.mark.parametrize("name", ["p.tsv", "p.tsv.gz"])
@pytest.mark.parametrize("case", UNQUOTED)
def test_an_unquoted_tsv_keeps_every_mark_and_row_and_says_so(case: str, name: str, tmp_path: Path) -> None:
    path, rows = tmp_path / name, UNQUOTED[case]
    path.write_bytes(gzip.compress(joined(rows).encode()) if name.endswith("gz") else joined(rows).encode())
    assert read(path) == read(path, "none") == rows
    (note,) = open_file(path).notes
    assert "without quoting" in note
    assert open_file(path, "none").notes == []


def test_the_published_korean_sts_is_read_as_it_is(tmp_path: Path) -> None:
    folder = os.environ.get("KOR_NLU_DIR")
    if not folder:
        pytest.skip("needs KOR_NLU_DIR, a folder with KorSTS as published")
    for name, count in (("sts-train.tsv", 5749), ("sts-dev.tsv", 1500)):
        lines = (Path(folder) / name).read_text("utf-8").splitlines()
        table = open_table(str(Path(folder) / name), pair_columns("sentence1", "sentence2"))
        assert table.rows == count
        write_table(tmp_path / name, table.schema, (chunk.table for chunk in table.chunks()), count, is_quoted=False)
        assert (tmp_path / name).read_text("utf-8").splitlines() == lines


def test_training_reports_an_unquoted_file_once(tmp_path: Path) -> None:
    path = str(write(tmp_path / "p.tsv", joined(OPEN)))
    data = load_examples(PairFiles(train=path, dev_fraction=0.2))
    assert len(data.train) + len(data.dev) == 40
    assert [warning for warning in data.warnings if "quot" in warning] == [
        f"{path}: 2 value(s) begin with a quotation mark that does not enclose them, the first in data row 8; the file"
        " was read without quoting, quotation marks as part of the texts."
    ]


FAULTS: dict[str, tuple[str, str, int, str]] = {
    "a ragged row of an unquoted TSV": ("p.tsv", joined(replaced(OPEN, row30=("a", "b\tc", "1"))), 30, "found 4"),
    "a short row of an unquoted TSV": ("p.tsv", joined(OPEN) + "a\tb\n", 41, "found 2"),
    "an open mark of a quoted TSV": (
        "p.tsv",
        joined(replaced(numbered(), row3=('"가\n나"', "b", "1"), row8=('"방', "b", "1"), row20=("a", '"두\n줄"', "1"))),
        8,
        "every quotation mark closed",
    ),
    "an open mark before the lines of a quoted TSV": (
        "p.tsv",
        joined(replaced(numbered(), row8=('"방', "b", "1"), row20=("a", "b", '"1\n"'))),
        8,
        "quotation mark",
    ),
    "a bare mark beside doubled ones": (
        "p.tsv",
        joined([('"""삶""에 대한"', "b", "1"), ('"삶"에', "b", "1")]),
        2,
        "quoting=none",
    ),
    "a quoted header": ("p.tsv", '"sentence1"\t"sentence2"\t"score"\n"a"\t"b"\t"1"\n"a"b\t"c"\t"1"\n', 2, "closing"),
    "rows joined by two open marks": ("p.csv", joined(CLOSES, ","), 8, "joins 6 line(s)"),
    "neighbours joined by open marks": (
        "p.csv",
        joined(replaced(numbered(), row8=("방", '"숙소', "0.5"), row9=("방", '집"', "0.5")), ","),
        8,
        "joins 2 line(s)",
    ),
    "the first rows joined": (
        "p.csv",
        joined([("방", '"숙소', "0.5"), *numbered(), ("b", '집"', "1")], ","),
        1,
        "joins",
    ),
    "text after a mark far below": (
        "p.csv",
        joined(replaced(numbered(), row8=("방", '"숙소', "0.5"), row13=("집", '"방', "0.5")), ","),
        8,
        "every quotation mark closed",
    ),
    "a mark not closed": ("p.csv", joined(replaced(numbered(), row25=('"방', "b", "1")), ","), 25, "closed"),
    "a value too many after line breaks": (
        "p.csv",
        joined([('"a\nb"', "c", "1"), ("a,b", "c", "1")], ","),
        2,
        "found 4",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_the_row_at_fault_is_named_with_its_line(case: str, tmp_path: Path) -> None:
    name, text, row, words = FAULTS[case]
    path = write(tmp_path / name, text)
    with pytest.raises(UserError) as caught:
        read(path)
    assert f"{path}, data row {row}" in str(caught.value)
    assert words in str(caught.value)


def test_one_column_that_can_be_read_in_both_ways_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "p.tsv", 'text\n"방\n집"\n')
    with pytest.raises(UserError, match=r"data row 1.*quoting=none"):
        open_file(path)
    for quoting, expected in (("none", ['"방', '집"']), ("csv", ["방\n집"])):
        (chunk,) = open_file(path, quoting).chunks()
        assert chunk["text"].to_pylist() == expected


def test_line_breaks_in_quoted_values_are_read_and_rows_that_look_joined_if_quoting_is_set(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", joined(replaced(numbered(), row2=('"한 줄\n두 줄"', "b", "1")), ","))
    assert read(path)[1][0] == "한 줄\n두 줄"
    path = write(tmp_path / "q.csv", joined(CLOSES, ","))
    assert len(read(path, "csv")) == 35


def test_marks_that_were_not_necessary_are_reported_unless_the_whole_column_has_them(tmp_path: Path) -> None:
    path = write(tmp_path / "p.tsv", joined([('"방"', "집", "1"), ("역", "길", "0")]))
    assert read(path)[0][0] == "방"
    assert "1 value(s) are in quotation marks without need" in open_file(path).notes[0]
    path = write(tmp_path / "q.tsv", joined([('"방"', "집", "1"), ('"역"', "길", "0")]))
    assert open_file(path).notes == []


TEXT = st.text(st.sampled_from("가나 \"',\t\n\r;|\\.1\u2028\x0b\x1c"), max_size=8).map(lambda text: f"{text}가")
LINE = st.text(st.sampled_from("가나 \"',;|\\.1\u2028\x0b\x1c\x85"), max_size=8).map(lambda text: f"{text}가")
PROPERTY = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # files are written anew for each example
)


def rows_of(text: st.SearchStrategy[str]) -> st.SearchStrategy[Rows]:
    return st.lists(st.tuples(text, text, st.just("0.5")), min_size=1, max_size=8)


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("delimiter", [",", "\t"])
@PROPERTY
@given(rows=rows_of(TEXT))
def test_what_a_csv_writer_writes_is_read_or_refused_but_never_changed(
    delimiter: str, quoting: int, rows: Rows, tmp_path: Path
) -> None:
    written = StringIO(newline="")
    csv.writer(written, delimiter=delimiter, quoting=quoting).writerows([NAMES, *rows])  # type: ignore[arg-type]
    path = write(tmp_path / ("p.csv" if delimiter == "," else "p.tsv"), written.getvalue())
    assert read(path, "csv") == rows
    try:
        assert read(path) == rows
    except UserError as error:
        assert "quoting=none" in str(error)


@PROPERTY
@given(rows=rows_of(TEXT))
def test_what_pandas_writes_is_read(rows: Rows, tmp_path: Path) -> None:
    frame = pd.DataFrame(rows, columns=NAMES)
    for name in ("p.csv", "p.csv.gz"):
        frame.to_csv(tmp_path / name, index=False, lineterminator="\r\n")
        assert read(tmp_path / name, "csv") == rows
    for name in ("p.jsonl", "p.jsonl.gz", "p.json"):
        frame.to_json(tmp_path / name, orient="records", lines=name != "p.json")
        assert read(tmp_path / name) == rows


@PROPERTY
@given(rows=rows_of(LINE))
def test_plainly_joined_lines_are_read_unchanged_or_the_removed_marks_are_reported(rows: Rows, tmp_path: Path) -> None:
    path = write(tmp_path / "p.tsv", joined(rows))
    assert read(path, "none") == rows
    try:
        found = read(path)
    except UserError as error:
        assert "quoting=none" in str(error)
        return
    assert len(found) == len(rows)
    assert found == rows or any(value.startswith('"') and value.endswith('"') for row in rows for value in row)


@pytest.mark.parametrize("suffix", FORMATS)
@settings(PROPERTY, max_examples=25)
@given(rows=rows_of(TEXT))
def test_every_written_value_is_read_back(suffix: str, rows: Rows, tmp_path: Path) -> None:
    pd.DataFrame(rows, columns=NAMES).to_parquet(tmp_path / "in.parquet", index=False)
    source = open_table(str(tmp_path / "in.parquet"), pair_columns("sentence1", "sentence2"))
    write_table(tmp_path / f"out{suffix}", source.schema, (chunk.table for chunk in source.chunks(3)), len(rows))
    assert read(tmp_path / f"out{suffix}", "csv") == rows
