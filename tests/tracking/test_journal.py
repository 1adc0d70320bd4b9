"""The write-ahead journal: what is kept after a crash, on a full disk, and when files change."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import Timeout

from src.config.tracking import TrackingConfig
from src.tracking import journal as journals
from src.tracking import kept as kept_files
from src.tracking.journal import FILE, Journal
from src.tracking.journal_search import find_journals, journal_of, open_journal
from src.tracking.kept import UnusableOperation


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.create(tmp_path, None, TrackingConfig().uri, "tiny")


RUN = {"run_id": "0123456789abcdef" * 2}
POINT = {"values": {"loss": 0.5}, "step": 3}
START: dict[str, Any] = {"new": True, "tags": {}}


def reopen(journal: Journal) -> Journal:
    journal._lock.release()  # as the end of a process does
    return Journal(journal.folder)


def test_a_new_process_finds_unconfirmed_operations_in_order(journal: Journal) -> None:
    journal.append("open", **START)
    journal.append("metrics", **POINT)
    journal.append("end", status="FINISHED")
    journal.confirm(RUN)
    found = reopen(journal)
    expected = [("metrics", POINT), ("end", {"status": "FINISHED"})]
    assert [(each.name, each.values) for each in found.pending] == expected
    assert (found.run_id, found.header.experiment, found.ended) == (RUN["run_id"], "tiny", True)
    assert [each.at for each in found.pending] == [each.at for each in journal.pending]


def test_the_file_has_documented_keys(journal: Journal) -> None:
    journal.append("metrics", **POINT)
    journal.confirm(RUN)
    first, operation, confirmation = map(json.loads, (journal.folder / FILE).read_text(encoding="utf-8").splitlines())
    uri, store = f"sqlite:///{Path.cwd()}/mlruns/mlflow.db", os.path.relpath("mlruns/mlflow.db", journal.folder)
    assert first == {"version": 2, "experiment": "tiny", "uri": uri, "store": store}
    assert operation.pop("at") > 0
    assert operation == {"number": 1, "name": "metrics", "values": {"values": {"loss": 0.5}, "step": 3}}
    assert confirmation == {"sent": 1, "facts": RUN}


def test_an_incomplete_last_line_is_dropped_before_the_next_is_appended(journal: Journal) -> None:
    journal.append("open", **START)
    with (journal.folder / FILE).open("a", encoding="utf-8") as file:
        file.write('{"number": 2, "name": "metr')
    found = reopen(journal)
    found.append("end", status="FINISHED")
    assert [each.name for each in reopen(found).pending] == ["open", "end"]


def test_operations_stay_in_memory_while_the_disk_is_full_and_leave_no_incomplete_line(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append("open", **START)
    before = (journal.folder / FILE).read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journals.os, "fsync", full)
        journal.append("metrics", **POINT)
    assert [each.name for each in journal.pending] == ["open", "metrics"]
    assert (journal.folder / FILE).read_bytes() == before
    journal.append("end", status="FINISHED")
    assert [each.number for each in reopen(journal).pending] == [1, 2, 3]


def test_a_snapshot_is_unchanged_when_a_later_run_replaces_the_file(journal: Journal, tmp_path: Path) -> None:
    curve, model = tmp_path / "curve.csv", tmp_path / "model"
    curve.write_text("first")
    model.mkdir()
    (model / "weights").write_text("first")
    snapshots = [journal.locate(**(journal.snapshot(path) or {})) for path in (curve, model)]
    for path in (curve, model / "weights"):
        (path.parent / "temporary").write_text("second")
        (path.parent / "temporary").replace(path)
    assert [snapshots[0].read_text(), (snapshots[1] / "weights").read_text()] == ["first", "first"]


def test_a_journal_can_be_open_in_one_process_only(journal: Journal) -> None:
    with pytest.raises(Timeout):
        Journal(journal.folder)


def test_a_journal_is_deleted_once_the_store_has_all_of_an_ended_run(journal: Journal, tmp_path: Path) -> None:
    journal.append("open", **START)
    journal.confirm(RUN)
    journal.close()
    assert find_journals(tmp_path) == [journal.folder]
    assert journal_of(tmp_path, RUN["run_id"]) == journal_of(tmp_path, journal.key) == journal.folder
    last = Journal(journal.folder)
    last.append("end", status="FINISHED")
    last.confirm({})
    last.close()
    assert not list(tmp_path.iterdir())


def with_lines(journal: Journal, *lines: str) -> Path:
    """Replace the lines after the header, as a fault or an attacker does."""
    file = journal.folder / FILE
    header = file.read_text(encoding="utf-8").splitlines()[0]
    file.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    journal._lock.release()
    return file


def line(number: int, name: str, **values: Any) -> str:
    return json.dumps({"number": number, "name": name, "at": 1_750_000_000_000, "values": values})


@pytest.mark.parametrize(
    ("damaged", "names", "said"),
    [
        ('{"number": 2, "na', ["open", "end"], "line 3: expected JSON"),
        (line(2, "upload", file="x"), ["open", "end"], r"line 3: expected one of .*, found 'upload'"),
        (line(2, "metrics", values="many", step=1), ["open", "end"], "line 3: expected a valid value values"),
        (line(1, "close_children"), ["open", "end"], "line 3: expected operation 2, found 1"),
        ('{"sent": 7, "facts": {}}', ["open", "end"], "line 3: expected a confirmation up to operation 1, found 7"),
        (line(3, "close_children"), ["open", "close_children"], "expected operation 2, found 3"),
    ],
)
def test_a_damaged_line_is_named_and_kept_and_the_rest_is_used(
    damaged: str, names: list[str], said: str, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    file = with_lines(journal, line(1, "open", **START), damaged, line(3, "end", status="FINISHED"))
    content = file.read_bytes()
    found = Journal(journal.folder)
    assert [each.name for each in found.pending] == names
    assert [each.number for each in found.pending] == list(range(1, len(names) + 1))
    (warning,) = caplog.messages
    assert str(file) in warning
    assert re.search(said, warning)
    (kept,) = journal.folder.parent.glob("*.damaged")
    assert kept.read_bytes() == content
    again = reopen(found)
    assert [each.name for each in again.pending] == names
    assert len(caplog.messages) == 1


def test_a_run_whose_start_is_damaged_is_sent_without_its_tags(journal: Journal) -> None:
    with_lines(journal, "damaged", line(2, "metrics", **POINT))
    assert [(each.name, each.values) for each in Journal(journal.folder).pending] == [
        ("open", START),
        ("metrics", POINT),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"damaged\n", b'{"number": 1}\n', b'{"version": 9, "experiment": "x"}\n']
)
def test_a_journal_without_a_usable_header_is_set_aside_and_not_found_again(
    content: bytes, journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (journal.folder / FILE).write_bytes(content)
    journal._lock.release()
    assert open_journal(journal.folder) is None
    assert str(journal.folder / FILE) in caplog.messages[0]
    assert find_journals(tmp_path) == []
    assert (journal.folder.with_name(f"{journal.key}.damaged") / FILE).read_bytes() == content


@pytest.mark.parametrize("place", [FILE, ".lock", "ab", "ab/weights"])
def test_a_journal_with_links_is_set_aside_and_nothing_is_written_through_them(
    place: str, journal: Journal, tmp_path: Path
) -> None:
    journal.append("open", **START)
    journal._lock.release()
    private = tmp_path / "private"
    private.write_text("SECRET KEY")
    link = journal.folder / place
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(private)
    assert open_journal(journal.folder) is None
    assert private.read_text() == "SECRET KEY"
    assert find_journals(tmp_path) == []


def test_only_files_of_its_own_folder_are_sent(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "journal")
    (journal.folder / "pipe").mkdir()
    os.mkfifo(journal.folder / "pipe" / "fifo")
    (journal.folder / "own").touch()
    for kept in ("/etc/passwd", "../../config.yaml", "own/../../../config.yaml", "missing", "pipe", ".", ""):
        with pytest.raises(UnusableOperation, match=r"expected .*found"):
            journal.locate(kept)
    assert journal.locate("own") == journal.folder / "own"
    assert journal.locate("config.yaml", late=True) == tmp_path / "config.yaml"
    for kept in (f"linked/{journal.key}/own", "../other", "/etc/passwd"):
        with pytest.raises(UnusableOperation, match=r"expected .*found"):
            journal.locate(kept, late=True)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), shutil.Error([("a", "b", "no inode")])])
def test_a_file_that_cannot_be_copied_is_sent_as_it_then_is(
    error: OSError, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plots").mkdir()
    curve = tmp_path / "plots" / "curve.png"
    curve.touch()

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(kept_files, "_link", fail)
    snapshot = journal.snapshot(curve)
    assert snapshot == {"kept": "plots/curve.png", "late": True}
    assert journal.locate(**snapshot) == curve
    assert journal.snapshot(tmp_path.parent / "elsewhere.png") is None


def test_a_linked_model_is_kept_as_files(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "weights").write_text("w")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").symlink_to(tmp_path / "store" / "weights")
    assert (journal.locate(**(journal.snapshot(tmp_path / "model") or {})) / "weights").read_text() == "w"


def test_operations_keep_their_order_in_time_if_the_clock_is_set_back(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append("open", **START)
    first = journal.pending[0].at
    monkeypatch.setattr(journals.time, "time", lambda: first / 1000 - 3600)
    journal.append("metrics", **POINT)
    reopened = reopen(journal)
    reopened.append("end", status="FINISHED")
    assert [each.at for each in reopened.pending] == [first] * 3
