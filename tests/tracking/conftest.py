"""Fixtures and helpers for tests of the tracking: short waits, a locked database, and what the store has recorded."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as Recorded

from src.config import Config
from src.tracking import Run, database, start_run, sync_journals
from src.tracking.queue import DiscardingQueue


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a failing attempt take little time."""
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 0.05)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def config(tiny_config: Callable[..., Config], short_waits: None) -> Config:
    return tiny_config()


@contextmanager
def locked(config: Config) -> Iterator[None]:
    """Lock the SQLite file for the duration of the block."""
    path = config.tracking.uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def recorded_runs(config: Config) -> list[Recorded]:
    client = MlflowClient(config.tracking.uri)
    return list(client.search_runs([client.get_experiment_by_name("tiny").experiment_id]))


def history(config: Config, run_id: str, name: str) -> list[tuple[int, float]]:
    points = MlflowClient(config.tracking.uri).get_metric_history(run_id, name)
    return [(point.step, point.value) for point in points]


def sync(config: Config) -> None:
    for report in sync_journals(Path(config.folder), config.tracking):
        assert not report.left, report


@contextmanager
def killed_run(config: Config) -> Iterator[Run]:
    """Start a run whose process is killed at the end of the block: its journal is released and has no end."""
    with start_run(config, {}) as run:
        yield run
        run.queue.journal._lock.release()
        run.queue = DiscardingQueue()
