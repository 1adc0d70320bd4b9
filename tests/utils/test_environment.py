import os
import resource
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socket import create_server
from threading import Thread
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from src.cli import CONF
from src.utils.environment import hub_reachable, peak_memory_mb
from src.utils.processes import available_cores


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(request.param)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("endpoint", "reachable"), [(200, True), (404, True), (403, False), (503, False)], indirect=["endpoint"]
)
def test_an_answer_counts_unless_it_is_a_refusal_or_a_failure(
    endpoint: str, reachable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert hub_reachable() is reachable


@pytest.mark.parametrize("endpoint", [200], indirect=True)
@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_mode_is_honoured(endpoint: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv(variable, "1")
    assert not hub_reachable()


def test_a_server_that_never_answers_is_given_up_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    with create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        seen, urlopen = [], urllib.request.urlopen

        def opened(request: Any, timeout: float) -> Any:
            seen.append(timeout)
            return urlopen(request, timeout=timeout)

        monkeypatch.setattr(urllib.request, "urlopen", opened)
        assert not hub_reachable(timeout=0.3)
        assert seen == [0.3]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "not an address"])
def test_no_server_is_unreachable(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert not hub_reachable()


@pytest.mark.parametrize(("platform", "megabytes"), [("linux", 2048), ("darwin", 2), ("win32", 3)])
def test_peak_memory_is_in_the_units_of_the_system(
    platform: str, megabytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=2 * 2**20))
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=3 * 2**20))
    monkeypatch.setattr(psutil, "Process", lambda: process)
    assert peak_memory_mb() == megabytes


def test_where_cores_are_not_given_to_processes_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3}, raising=False)
    assert available_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores() == 6


NO_PASSWD_ENTRY = """
import pwd
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
import src
from pathlib import Path
print(Path.home(), oct(Path.home().stat().st_mode))
"""


def test_a_user_without_home_and_passwd_entry_has_a_home_folder_during_the_process() -> None:
    line = [sys.executable, "-c", NO_PASSWD_ENTRY]
    done = subprocess.run(line, env={}, cwd=CONF.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    home, mode = done.stdout.split()
    assert mode.endswith("700") and not Path(home).exists()
