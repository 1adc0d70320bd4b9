"""The queue between a run and its store: time spent on slow stores, journals sent later."""

from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest

from src.config import Config
from src.config.tracking import TrackingConfig
from src.tracking import queue as queues
from src.tracking import start_run, sync_journals
from src.tracking.journal import Journal
from src.tracking.journal_search import find_journals
from src.tracking.operations import Operation
from src.tracking.queue import WriteQueue
from tests.tracking.conftest import killed_run, locked, recorded_runs


class SlowStore:
    """A writer that takes `seconds` for each operation by its own clock, and raises if it `fails`."""

    def __init__(self, seconds: float, fails: bool) -> None:
        self.seconds, self.fails = seconds, fails
        self.now = self.spent = 0.0
        self.taken: list[int] = []

    def send(self, operation: Operation) -> dict[str, str]:
        self.now += self.seconds
        self.spent += self.seconds
        if self.fails:
            raise TimeoutError
        self.taken.append(operation.number)
        return {}


@pytest.mark.parametrize("fails", [False, True], ids=["answers", "fails"])
@pytest.mark.parametrize("seconds", [0.01, 3.0, 20.0])
def test_a_slow_store_costs_a_training_a_tenth_of_its_time(
    seconds: float, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SlowStore(seconds, fails)
    monkeypatch.setattr(queues, "time", SimpleNamespace(monotonic=lambda: store.now))
    monkeypatch.setattr(queues, "StoreWriter", lambda *_: store)
    queue = WriteQueue(Journal.create(tmp_path, None, TrackingConfig().uri, "tiny"), TrackingConfig())
    for _ in range(200):
        store.now += 10
        queue.enqueue("metrics")
        queue.flush_if_due()
    assert 0 < store.spent <= 0.1 * 2000 + seconds
    store.fails = False
    queue.flush(inf)
    assert store.taken == list(range(1, 201))
    assert queue.problem is None


def test_entries_that_a_store_rejects_do_not_block_those_of_other_runs(config: Config) -> None:
    folder = Path(config.folder)
    with start_run(config, {}):
        pass  # creates the store
    lost = Journal.create(folder, "0-lost", config.tracking.uri, config.name)
    lost.append("open", new=False, tags={})
    lost.close()
    with locked(config), start_run(config, {}):
        pass
    rejected, sent = sync_journals(folder, config.tracking)
    assert "found no such run" in str(rejected.problem)
    assert (rejected.left, sent.left) == (2, 0)  # the start of the next run has added its end


def test_a_killed_run_that_is_not_resumed_ends_as_killed(config: Config) -> None:
    with locked(config), killed_run(config):
        pass
    with start_run(config, {}):
        pass
    assert sorted(found.info.status for found in recorded_runs(config)) == ["FINISHED", "KILLED"]
    assert not find_journals(Path(config.folder))


def test_a_report_tells_interrupted_ended_and_open_runs_apart(config: Config) -> None:
    folder = Path(config.folder)
    with locked(config), killed_run(config):
        pass
    (interrupted,) = sync_journals(folder, config.tracking)
    assert (interrupted.left, interrupted.ended, interrupted.busy) == (0, False, False)
    with start_run(config, {}):
        assert [report.busy for report in sync_journals(folder, config.tracking)] == [True]
