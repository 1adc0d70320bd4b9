"""The command `python -m src.ui`: links, mistakes, and the end of the server."""

import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest

from src import ui
from src.cli import CONF, parser_command
from src.config import Config
from src.tracking import start_run
from src.ui import parser, run
from src.utils.server import fetch

main = parser_command(run, parser())


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> str:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


class Healthy(BaseHTTPRequestHandler):
    """What an MLflow server answers at /health."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port at which a server answers as MLflow's does."""
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_port_that_is_taken_is_named_with_its_owner(
    taken: int, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--port", str(taken), "--uri", store])
    assert left.value.code == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert f"taken by an MLflow server (http://127.0.0.1:{taken})" in sentence
    assert f"make ui PORT={taken + 1}" in sentence
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SystemExit):
            main(["--port", str(other.getsockname()[1]), "--uri", store])
    assert "another program" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--uri", "sqlite:///nowhere/mlflow.db"],
            "sqlite:///nowhere/mlflow.db: expected an MLflow store, found no such",
        ),
        (["--port", "70000"], "--port 70000: expected a port of 127.0.0.1"),
        (["--uri", "postgresql://me:secret@host/db"], "without a password in it"),
        (["--prot", "1"], "unrecognized arguments: --prot 1"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], said: str, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*(["--uri", store] if "--port" in arguments else []), *arguments])
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1 and "secret" not in error


def test_a_database_of_another_program_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        connection.execute("CREATE TABLE trials (number)")
    with pytest.raises(SystemExit):
        main(["--uri", f"sqlite:///{tmp_path}/study.db"])
    assert "expected an MLflow store, found a database of another program" in capsys.readouterr().err


def test_a_server_that_cannot_start_is_reported_with_its_last_lines(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = [sys.executable, "-c", "print('first'); raise SystemExit('no space for tables')"]
    monkeypatch.setattr(ui, "server_command", lambda *_: failing)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SystemExit) as left:
        main(["--port", str(port), "--uri", store])
    assert left.value.code == 2
    assert "first / no space for tables" in capsys.readouterr().err


@pytest.mark.slow
def test_the_server_answers_prints_links_and_leaves_no_process(
    tiny_config: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tiny_config()
    with start_run(config, {}):
        pass
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "src.ui", "--port", str(port), "--uri", config.tracking.uri]
    with subprocess.Popen(line, cwd=CONF.parent, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout
        printed = []
        for text in command.stdout:
            printed.append(text.rstrip())
            if "Ctrl-C" in text:
                break
        assert fetch(f"http://127.0.0.1:{port}/health") == "OK"
        main(["--uri", f"http://127.0.0.1:{port}"])  # a store that is a server: the same links, and nothing is started
        processes = psutil.Process(command.pid).children(recursive=True)
        command.send_signal(signal.SIGINT)
        assert command.wait() == 0
    assert processes and not any(process.is_running() for process in processes)
    links = [text for text in printed if re.match(r"  (runs|recipes|models) +http", text)]
    assert len(links) == 3 and "tiny" in printed
    assert set(links) <= set(capsys.readouterr().out.splitlines())
