"""The write-ahead journal: what is kept after a crash, on a full disk, and when files change."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from filelock import Timeout

from src.config.tracking import TrackingConfig
from src.tracking import journal as journals
from src.tracking.journal import FILE, Journal
from src.tracking.journal_search import find_journals, journal_of


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
