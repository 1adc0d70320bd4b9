"""Stores that are locked, full, slow, out of order or away: a run goes on, and all of it is recorded later, once."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Run as Recorded
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT
from sqlalchemy.engine import Engine

from src.config import Config
from src.errors import UserError
from src.tracking import PARENT, Run, deliver, models, monitor, outage, start_run
from src.tracking.journal import FILE, Journal, find_journals

TinyConfig = Callable[..., Config]
PASSWORD = "correct-horse"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an attempt that fails cost little, so that the tests do not wait."""
    monkeypatch.setattr(outage, "SECONDS_FOR_A_LOCK", 0.05)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def config(tiny_config: TinyConfig) -> Config:
    return tiny_config()


@contextmanager
def locked(config: Config) -> Iterator[None]:
    """Keep the SQLite file from everybody else."""
    connection = sqlite3.connect(config.tracking.uri.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.close()


def recorded(config: Config) -> list[Recorded]:
    client = MlflowClient(config.tracking.uri)
    return list(client.search_runs([client.get_experiment_by_name("tiny").experiment_id]))


def history(config: Config, run_id: str, name: str) -> list[tuple[int, float]]:
    points = MlflowClient(config.tracking.uri).get_metric_history(run_id, name)
    return [(point.step, point.value) for point in points]


def send(config: Config) -> None:
    for delivery in deliver(Path(config.folder)):
        assert not delivery.left, delivery


def test_what_happens_while_a_file_is_locked_is_recorded_later_with_its_own_times(config: Config) -> None:
    with locked(config):
        with start_run(config, {"user": "me"}) as run:
            for step in (1, 2, 3):
                run.log_metrics({"loss": 1 / step}, step)
            noted = [each.at for each in run.outbox.journal.pending if each.name == "metrics"]
        assert "OperationalError: database is locked" in str(run.behind)  # SQLite's own: MLflow would wait 20 s
        assert "python -m src.sync" in str(run.behind)
    send(config)
    (found,) = recorded(config)
    assert found.info.status == "FINISHED"
    assert found.data.tags["user"] == "me"
    assert found.data.params["trainer.batch_size"] == "4"
    assert history(config, found.info.run_id, "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    points = MlflowClient(config.tracking.uri).get_metric_history(found.info.run_id, "loss")
    assert [point.timestamp for point in points] == noted
    assert found.info.start_time <= noted[0] <= noted[-1] <= found.info.end_time
    assert not find_journals(Path(config.folder))


def test_a_store_that_comes_back_gets_what_it_missed_before_what_is_new(config: Config) -> None:
    with start_run(config, {}) as run:
        with locked(config):
            run.log_metrics({"loss": 1.0}, 1)
            run.outbox.flush(1)
            assert run.behind
        run.outbox.next_attempt = 0.0
        run.log_metrics({"loss": 0.5}, 2)
        assert run.behind is None
        assert history(config, run.run_id, "loss") == [(1, 1.0), (2, 0.5)]


def test_what_was_sent_but_not_confirmed_before_a_crash_is_recorded_once(
    config: Config, tiny_encoder_folder: Path
) -> None:
    with locked(config), start_run(config, {}) as run:
        run.log_metrics({"loss": 1.0}, 1)
        run.log_metrics({"loss": 0.5}, 2)
        run.log_model(tiny_encoder_folder, 2, {})
    folder = run.outbox.journal.folder
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for _ in range(2):  # the second time the journal is the one that knows of no confirmation
        for path, content in kept.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        send(config)
    (found,) = recorded(config)
    client = MlflowClient(config.tracking.uri)
    assert history(config, found.info.run_id, "loss") == [(1, 1.0), (2, 0.5)]
    assert len(client.search_logged_models([found.info.experiment_id])) == 1
    assert [version.version for version in client.search_model_versions("name = 'tiny'")] in (["1"], [1])
    assert found.data.tags["result.model_version"] == "1"


def test_a_killed_run_keeps_its_journal_and_goes_on_as_the_same_run(config: Config) -> None:
    with locked(config):
        killed = start_run(config, {})
        run = killed.__enter__()
        run.log_metrics({"loss": 1.0}, 1)
        run.outbox.journal._lock.release()  # as kill -9 does
    with start_run(config, {}, former=run.run_id) as resumed:
        resumed.log_metrics({"loss": 1.0}, 1)
        resumed.log_metrics({"loss": 0.5}, 2)
    (found,) = recorded(config)
    assert (found.info.run_id, found.info.status) == (resumed.run_id, "FINISHED")
    assert history(config, resumed.run_id, "loss") == [(1, 1.0), (2, 0.5)]
    with start_run(config, {}, former=run.run_id) as once_more:  # by the name that it had before the store knew it
        assert once_more.run_id == resumed.run_id


def test_a_killed_run_that_nobody_goes_on_with_ends_as_killed(config: Config) -> None:
    with locked(config):
        start_run(config, {}).__enter__().outbox.journal._lock.release()
    with start_run(config, {}):
        pass
    assert sorted(found.info.status for found in recorded(config)) == ["FINISHED", "KILLED"]
    assert not find_journals(Path(config.folder))


@pytest.mark.parametrize("first", ["child", "."])
def test_children_belong_to_their_parent_whichever_the_store_gets_first(first: str, config: Config) -> None:
    folder = Path(config.folder)
    with locked(config), start_run(config, {}) as parent:
        with start_run(replace(config, folder=str(folder / "child")), {PARENT: parent.run_id}):
            pass
        assert parent.behind
    if first == "child":
        send(replace(config, folder=str(folder / "child")))
    send(config)
    child, above = sorted(recorded(config), key=lambda run: PARENT not in run.data.tags)
    assert child.data.tags[PARENT] == above.info.run_id


def test_entries_that_a_store_refuses_do_not_keep_those_of_other_runs(config: Config) -> None:
    folder = Path(config.folder)
    with start_run(config, {}):
        pass  # the store is there
    lost = Journal.create(folder, "0-lost", config.tracking, config.name)
    lost.append("open", new=False, tags={"folder": str(folder)})
    lost.close()
    with locked(config), start_run(config, {}):
        pass
    refused, sent = deliver(folder)
    assert "found no such run" in str(refused.problem)
    assert (refused.left, sent.left) == (2, 0)  # its end was added by the start of the next run


def test_a_folder_may_have_an_apostrophe(config: Config, tmp_path: Path) -> None:
    with start_run(replace(config, folder=str(tmp_path / "the guest's")), {}) as run:
        assert run.behind is None


def test_a_journal_that_is_being_sent_is_waited_for(config: Config) -> None:
    with (
        locked(config),
        start_run(config, {}) as sending,
        pytest.raises(UserError, match="no other process has open"),
        start_run(config, {}, former=sending.run_id),
    ):
        pytest.fail("two processes have one journal")


def test_a_full_disk_of_the_store_costs_the_run_nothing(config: Config) -> None:
    pages = [1]

    def limit(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")  # SQLite finds its disk full beyond

    with start_run(config, {}) as run:
        sqlalchemy.event.listen(Engine, "checkout", limit)
        run.outbox.next_attempt = inf
        run.set_tags({"note": "x" * 5000})
        for step in range(100):
            run.log_metrics({"loss": 0.5}, step)
    assert "database or disk is full" in str(run.behind)
    pages[0] = 1_000_000
    send(config)
    sqlalchemy.event.remove(Engine, "checkout", limit)
    assert len(history(config, run.run_id, "loss")) == 100


def test_a_full_disk_of_the_artifacts_costs_the_run_nothing(config: Config, tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_bytes(bytes(1_000_000))
    with start_run(config, {}) as run:
        former = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, former[1]))  # the kernel refuses to write more to a file
        run.log_files(tmp_path, ["plot.png"])
        run.outbox.flush(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        assert "File too large" in str(run.behind)
    assert run.behind is None
    (recorded_plot,) = (tmp_path / "artifacts").rglob("plot.png")
    assert recorded_plot.stat().st_size == 1_000_000


class Server:
    """Answers every request with an error, or not at all until it is stopped; counts them."""

    def __init__(self, answers: bool) -> None:
        self.requests, self.stopped = 0, Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests += 1
                if not answers:
                    server.stopped.wait()
                self.send_error(500)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def stop(self) -> None:
        self.stopped.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(params=[True, False], ids=["answers 500", "does not answer"])
def broken(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(request.param)
    yield server
    server.stop()


def test_a_server_out_of_order_is_asked_a_few_times_only(
    config: Config, broken: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    config.tracking.uri = broken.uri
    with start_run(config, {}) as run:
        for step in range(500):
            run.log_metrics({"loss": 0.5}, step)
    assert broken.requests == 2  # at the start and at the end
    assert len(run.outbox.journal.pending) == 503
    assert PASSWORD not in str(run.behind)
    assert PASSWORD not in (run.outbox.journal.folder / FILE).read_text(encoding="utf-8")


def test_requests_end_soon_and_are_not_repeated_unless_the_user_wants_so(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with start_run(config, {}):
        assert (MLFLOW_HTTP_REQUEST_TIMEOUT.get(), MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()) == (10, 1)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    with start_run(config, {}):
        assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 0


def test_a_model_has_more_time_than_a_request(
    config: Config, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []

    def log(**_: Any) -> None:
        given.append(MLFLOW_HTTP_REQUEST_TIMEOUT.get())
        raise TimeoutError

    monkeypatch.setattr(models.Model, "log", log)
    with start_run(config, {}) as run:
        run.log_model(tiny_encoder_folder, 1, {})
    assert set(given) == {120}
    assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 1


def test_system_metrics_go_on_during_an_outage(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "INTERVAL", 0.01)
    config.tracking.system_metrics = True
    noted = Event()
    note = Run.note_metrics

    def note_and_tell(run: Run, values: dict[str, float], step: int) -> None:
        note(run, values, step)
        if step == 3:
            noted.set()

    monkeypatch.setattr(Run, "note_metrics", note_and_tell)
    with locked(config), start_run(config, {}) as run:
        assert noted.wait(20)
    send(config)
    (found,) = recorded(config)
    steps = [step for step, _ in history(config, found.info.run_id, "system/cpu_utilization_percentage")]
    assert steps[:4] == [0, 1, 2, 3]
    assert run.outbox.journal.ended


@pytest.mark.parametrize(
    ("content", "found"), [("no database", "file is not a database"), (None, "unable to open database file")]
)
def test_a_store_that_is_none_is_a_mistake_and_leaves_nothing(
    content: str | None, found: str, config: Config, tmp_path: Path
) -> None:
    path = tmp_path / "other.db"
    path.write_text(content * 100) if content else path.mkdir()
    config.tracking.uri = f"sqlite:///{path}"
    with pytest.raises(UserError, match=f"tracking.uri=.*expected an MLflow store that answers, found .*{found}"):
        start_run(config, {}).__enter__()
    assert not find_journals(Path(config.folder))


def test_a_run_that_others_depend_on_wants_its_store_at_the_start(config: Config) -> None:
    with locked(config), pytest.raises(UserError, match="database is locked"):
        start_run(config, {}, needed=True).__enter__()
