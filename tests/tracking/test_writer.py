"""Writing to the store: each operation is recorded once and with its own time, in any order of runs and failures."""

import resource
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from mlflow import MlflowClient
from sqlalchemy.engine import Engine

from src.config import Config
from src.tracking import PARENT, start_run
from tests.tracking.conftest import history, killed_run, locked, recorded_runs, sync


def test_operations_sent_but_not_confirmed_before_a_crash_are_recorded_once(
    config: Config, tiny_encoder_folder: Path
) -> None:
    with locked(config), start_run(config, {}) as run:
        run.log_metrics({"loss": 1.0}, 1)
        run.log_metrics({"loss": 0.5}, 2)
        run.log_model(tiny_encoder_folder, 2, {})
    folder = run.queue.journal.folder
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for _ in range(2):  # the second time the journal lacks all confirmations
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        sync(config)
    (found,) = recorded_runs(config)
    client = MlflowClient(config.tracking.uri)
    assert history(config, found.info.run_id, "loss") == [(1, 1.0), (2, 0.5)]
    assert len(client.search_logged_models([found.info.experiment_id])) == 1
    assert [version.version for version in client.search_model_versions("name = 'tiny'")] in (["1"], [1])
    assert found.data.tags["result.model_version"] == "1"


def test_a_killed_run_keeps_its_journal_and_resumes_as_the_same_run(config: Config) -> None:
    with locked(config), killed_run(config) as run:
        run.log_metrics({"loss": 1.0}, 1)
        key = run.run_id
    with start_run(config, {}, former=key) as resumed:
        resumed.log_metrics({"loss": 1.0}, 1)
        resumed.log_metrics({"loss": 0.5}, 2)
    (found,) = recorded_runs(config)
    assert (found.info.run_id, found.info.status) == (resumed.run_id, "FINISHED")
    assert history(config, resumed.run_id, "loss") == [(1, 1.0), (2, 0.5)]
    with start_run(config, {}, former=key) as again:  # by the key that it had before its id
        assert again.run_id == resumed.run_id


def test_a_finished_run_stays_finished_where_amending_it_is_interrupted(config: Config) -> None:
    with start_run(config, {}) as run:
        pass
    ended = recorded_runs(config)[0].info.end_time
    with pytest.raises(KeyboardInterrupt), start_run(config, {}, former=run.run_id) as amended:
        amended.set_tags({"more": "yes"})
        raise KeyboardInterrupt
    (found,) = recorded_runs(config)
    assert (found.info.status, found.info.end_time, found.data.tags["more"]) == ("FINISHED", ended, "yes")


def test_a_sweep_that_is_extended_and_interrupted_is_not_finished(config: Config) -> None:
    tags = {"role": "sweep"}
    with start_run(config, tags) as run:
        pass
    with pytest.raises(KeyboardInterrupt), start_run(config, tags, former=run.run_id):
        raise KeyboardInterrupt
    assert recorded_runs(config)[0].info.status == "KILLED"


@pytest.mark.parametrize("first", ["child", "."])
def test_children_belong_to_their_parent_in_either_order_of_sending(first: str, config: Config) -> None:
    folder = Path(config.folder)
    with locked(config), start_run(config, {}) as parent:
        with start_run(replace(config, folder=str(folder / "child")), {PARENT: parent.run_id}):
            pass
        assert parent.behind
    if first == "child":
        sync(replace(config, folder=str(folder / "child")))
    sync(config)
    child, above = sorted(recorded_runs(config), key=lambda run: PARENT not in run.data.tags)
    assert child.data.tags[PARENT] == above.info.run_id


def test_a_folder_may_have_an_apostrophe(config: Config, tmp_path: Path) -> None:
    with start_run(replace(config, folder=str(tmp_path / "the guest's")), {}) as run:
        assert run.behind is None


@pytest.fixture
def limit_pages() -> Any:
    """Set the number of pages after which SQLite reports a full disk."""
    pages: list[int] = []

    def limit(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages[-1]}")

    def set_limit(number: int) -> None:
        pages.append(number)
        if len(pages) == 1:
            sqlalchemy.event.listen(Engine, "checkout", limit)

    yield set_limit
    sqlalchemy.event.remove(Engine, "checkout", limit)


def test_a_full_disk_of_the_store_loses_nothing(config: Config, limit_pages: Callable[[int], None]) -> None:
    with start_run(config, {}) as run:
        limit_pages(1)
        run.queue.next_attempt = inf
        run.set_tags({"note": "x" * 5000})
        for step in range(100):
            run.log_metrics({"loss": 0.5}, step)
    assert "database or disk is full" in str(run.behind)
    limit_pages(1_000_000)
    sync(config)
    assert len(history(config, run.run_id, "loss")) == 100


def test_a_full_disk_of_the_artifacts_loses_nothing(config: Config, tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_bytes(bytes(1_000_000))
    with start_run(config, {}) as run:
        former = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, former[1]))  # the kernel rejects longer files
        run.log_files(tmp_path, ["plot.png"])
        run.queue.flush(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        assert "File too large" in str(run.behind)
    assert run.behind is None
    (recorded_plot,) = (tmp_path / "artifacts").rglob("plot.png")
    assert recorded_plot.stat().st_size == 1_000_000
