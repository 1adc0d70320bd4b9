"""Addresses of stores: the default, SQLite files with odd names, and forms without secrets."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from sqlalchemy import create_engine, text

from src.config.tracking import TrackingConfig, default_uri, engine_uri, redact, redact_message, sqlite_path
from src.utils.errors import UserError

SECRET = "S3CR3T"
QUOTED, PLAIN = "S3%2FCR%403T", "S3/CR@3T"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (f"postgresql://me:{SECRET}@127.0.0.1:5432/db", "postgresql://127.0.0.1:5432/db"),
        (f"postgresql://me@127.0.0.1/db?password={SECRET}", "postgresql://127.0.0.1/db"),
        (f"postgresql://h/db?user=me&password={SECRET}&sslmode=require", "postgresql://h/db"),
        (f"postgresql+psycopg2://h/db?sslpassword={SECRET}", "postgresql+psycopg2://h/db"),
        (f"postgresql://me:a@{SECRET}@h/db", "postgresql://h/db"),
        (f"postgresql://me:{SECRET}@h1:1,h2:2/db", "h1:1,h2:2/db"),
        (f"postgresql://me:{SECRET}@h:port/db", "h:port/db"),
        (f"host=h user=me password={SECRET}", "host=h user=me password=***"),
        (f"http://me:{SECRET}@h:5000/x", "http://h:5000/x"),
        (f"https://{SECRET}@h/x", "https://h/x"),
        (f"http://h:5000/x?token={SECRET}", "http://h:5000/x"),
        (f"http://h:5000/x?token=a@{SECRET}", "http://***"),
        (f"http://h/x#access_token={SECRET}", "http://h/x#access_token=***"),
    ],
)
def test_no_form_of_an_address_shows_its_secrets(uri: str, shown: str) -> None:
    assert redact(uri) == shown
    message = redact_message(f"cannot connect to {uri}: wrong {SECRET}, see {uri!r}", uri)
    assert SECRET not in message
    assert message.startswith("cannot connect to ")


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "sqlite:///a?b/mlflow.db", "no address", ""])
def test_an_address_without_secrets_is_shown_as_it_is(uri: str) -> None:
    assert redact(uri) == uri
    assert redact_message(f"cannot open {uri}", uri) == f"cannot open {uri}"


def test_a_password_does_not_show_in_any_quoting() -> None:
    uri = f"postgresql://me:{QUOTED}@h/db"
    message = redact_message(f"{uri}: no access with {PLAIN} or {QUOTED} to http://other:pw@host", uri)
    assert message == "postgresql://h/db: no access with *** or *** to http://host"


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a#b", "a b", "한글 실험", "100%"])
def test_a_folder_may_have_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    for uri in (f"sqlite:///{folder}/absolute.db", "sqlite:///relative.db"):
        with create_engine(engine_uri(uri)).connect() as connection:
            connection.execute(text("CREATE TABLE found (x)"))
        path = sqlite_path(uri)
        assert path
        with closing(sqlite3.connect(path)) as direct:
            assert direct.execute("SELECT name FROM sqlite_master").fetchall() == [("found",)]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(list(folder.iterdir())) == 2


def test_mlflow_makes_no_other_folder_for_an_odd_name(tmp_path: Path, empty_store: Path) -> None:
    (tmp_path / "a?b%20").mkdir()
    (tmp_path / "a?b%20" / "mlflow.db").write_bytes(empty_store.read_bytes())
    client = MlflowClient(engine_uri(f"sqlite:///{tmp_path}/a?b%20/mlflow.db"))
    assert client.search_experiments()
    assert [path.name for path in tmp_path.iterdir()] == ["a?b%20"]


def test_a_quoted_path_is_decoded_if_only_that_folder_exists(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    assert sqlite_path(f"sqlite:///{tmp_path}/a%20b/mlflow.db") == tmp_path / "a b" / "mlflow.db"


def test_the_variable_of_mlflow_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TrackingConfig().uri == default_uri() == "sqlite:///mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team:5000")
    assert TrackingConfig().uri == "http://team:5000"
    assert TrackingConfig(uri="sqlite:///own.db").uri == "sqlite:///own.db"


@pytest.mark.parametrize("uri", ["databricks", "postgresql://h/db", "./mlruns", "sqlite:///", f"http://me:{SECRET}@h"])
def test_a_variable_that_cannot_be_used_is_named(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match=r"tracking\.uri \(from MLFLOW_TRACKING_URI\) must be") as caught:
        TrackingConfig()
    assert SECRET not in str(caught.value)


def test_a_temporary_workspace_of_dvc_uses_the_store_of_its_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmp123"
    workspace.mkdir(parents=True)
    monkeypatch.chdir(workspace)
    tracking = TrackingConfig()
    assert sqlite_path(tracking.uri) == tmp_path / "mlruns" / "mlflow.db"
    assert tracking.artifacts_folder == tmp_path / "mlruns" / "artifacts"


def test_artifacts_lie_beside_an_sqlite_file_unless_a_folder_is_given() -> None:
    assert TrackingConfig().artifacts_folder == Path.cwd() / "mlruns" / "artifacts"
    assert TrackingConfig(artifacts="elsewhere").artifacts_folder == Path("elsewhere")
    assert TrackingConfig(uri="http://127.0.0.1:5000").artifacts_folder is None
