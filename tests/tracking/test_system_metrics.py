"""System metrics of a run."""

from threading import Event

import pytest

from src.config import Config
from src.tracking import Run, start_run, system_metrics
from tests.tracking.conftest import history, locked, recorded_runs, sync


def test_system_metrics_continue_during_an_outage(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "INTERVAL", 0.01)
    config.tracking.system_metrics = True
    measured = Event()
    enqueue = Run.enqueue_metrics

    def enqueue_and_count(run: Run, values: dict[str, float], step: int) -> None:
        enqueue(run, values, step)
        if step == 3:
            measured.set()

    monkeypatch.setattr(Run, "enqueue_metrics", enqueue_and_count)
    with locked(config), start_run(config, {}) as run:
        assert measured.wait(20)
    sync(config)
    (found,) = recorded_runs(config)
    steps = [step for step, _ in history(config, found.info.run_id, "system/cpu_utilization_percentage")]
    assert steps[:4] == [0, 1, 2, 3]
    assert run.queue.journal.ended
