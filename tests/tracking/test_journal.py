"""The journal of a run: what it keeps whatever happens to the process, the disk or the files."""

from pathlib import Path

import pytest
from filelock import Timeout

from src.config.tracking import TrackingConfig
from src.tracking import journal as journals
from src.tracking.journal import FILE, Journal, find_journals, journal_of


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.create(tmp_path, None, TrackingConfig(), "tiny")


def again(journal: Journal) -> Journal:
    journal._lock.release()  # as the end of a process does
    return Journal(journal.folder)


def test_a_new_process_finds_what_was_not_confirmed_in_its_order(journal: Journal) -> None:
    for name in ("open", "metrics", "end"):
        journal.append(name, step=3)
    journal.confirm({"run_id": "abc"})
    found = again(journal)
    assert [(each.name, each.values) for each in found.pending] == [("metrics", {"step": 3}), ("end", {"step": 3})]
    assert (found.run_id, found.experiment, found.tracking, found.ended) == ("abc", "tiny", TrackingConfig(), True)
    assert [each.at for each in found.pending] == [each.at for each in journal.pending]


def test_a_line_that_was_cut_off_is_dropped_and_the_next_one_is_whole(journal: Journal) -> None:
    journal.append("open")
    with (journal.folder / FILE).open("a", encoding="utf-8") as file:
        file.write('{"number": 2, "name": "metr')
    found = again(journal)
    found.append("end")
    assert [each.name for each in again(found).pending] == ["open", "end"]


def test_operations_stay_in_memory_while_the_disk_is_full_and_no_half_line_is_left(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append("open")
    before = (journal.folder / FILE).read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journals.os, "fsync", full)
        journal.append("metrics")
    assert [each.name for each in journal.pending] == ["open", "metrics"]
    assert (journal.folder / FILE).read_bytes() == before
    journal.append("end")
    assert [each.number for each in again(journal).pending] == [1, 2, 3]


def test_a_kept_file_stays_as_it_was_when_a_later_run_replaces_it(journal: Journal, tmp_path: Path) -> None:
    curve, model = tmp_path / "curve.csv", tmp_path / "model"
    curve.write_text("first")
    model.mkdir()
    (model / "weights").write_text("first")
    kept = [journal.folder / journal.keep(path) for path in (curve, model)]
    for path in (curve, model / "weights"):
        (path.parent / "draft").write_text("second")
        (path.parent / "draft").replace(path)
    assert [kept[0].read_text(), (kept[1] / "weights").read_text()] == ["first", "first"]


def test_one_process_at_a_time_has_a_journal(journal: Journal) -> None:
    with pytest.raises(Timeout):
        Journal(journal.folder)


def test_a_journal_goes_once_the_store_has_all_of_an_ended_run(journal: Journal, tmp_path: Path) -> None:
    journal.append("open")
    journal.confirm({"run_id": "abc"})
    journal.close()
    assert find_journals(tmp_path) == [journal.folder]
    assert journal_of(tmp_path, "abc") == journal_of(tmp_path, journal.key) == journal.folder
    last = Journal(journal.folder)
    last.append("end")
    last.confirm({})
    last.close()
    assert not list(tmp_path.iterdir())
