"""What a training must not do: open a connection, run or unpickle what came with a model, write down a secret."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import src
import src.train
import src.ui
from src.cli import CONF
from src.config import Config, SweepSettings
from src.config.commands import SweepConfig
from src.config.schema import flatten
from src.sweeping.coordinator import parent_config
from src.training.trainer import ExampleTrainer

TinyConfig = Callable[..., Config]
SECRET = "s3cr3t-of-the-test"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
ROOT = CONF.parent


class Killed(BaseException):
    """Stands for kill -9: no handler of the project runs."""


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Refuse every connection but those of this machine to itself; what was tried is listed."""
    tried: list[Any] = []

    def guarded(original: Callable[..., Any], at: int) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            address = arguments[at]
            host = address[0] if isinstance(address, tuple) else address
            if host not in LOOPBACK and not str(host).startswith("/"):
                tried.append(address)
                raise OSError(f"no way out to {address}")
            return original(*arguments, **named)

        return call

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guarded(getattr(socket.socket, name), 1))
    monkeypatch.setattr(socket, "getaddrinfo", guarded(socket.getaddrinfo, 0))
    return tried


def test_a_killed_and_resumed_training_opens_no_connection_unpickles_nothing_and_writes_no_secret(
    attempts: list[Any], tiny_config: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRET)
    loads: list[Any] = []
    load, save = torch.load, ExampleTrainer._save_checkpoint

    def loaded(*arguments: Any, **named: Any) -> Any:
        loads.append(named.get("weights_only", True))
        return load(*arguments, **named)

    def killed(self: ExampleTrainer, *arguments: Any) -> None:
        save(self, *arguments)
        raise Killed

    monkeypatch.setattr(torch, "load", loaded)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ExampleTrainer, "_save_checkpoint", killed)
        src.train.run(tiny_config())
    src.train.run(tiny_config())
    assert attempts == []
    assert len(loads) >= 3 and all(loads)  # optimizer, schedule and random state
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 20
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


def test_the_guard_of_this_test_refuses(attempts: list[Any]) -> None:
    with pytest.raises(OSError, match="no way out"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    assert attempts == ["192.0.2.1"]


def test_telemetry_is_off_before_the_libraries_are_imported() -> None:
    assert src.__file__
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY"):
        assert os.environ[name] in ("true", "1")


def test_the_parent_of_a_sweep_shows_no_password_of_the_database(tiny_config: TinyConfig) -> None:
    sweep = SweepConfig(storage=f"postgresql://me:{SECRET}@host/trials")
    shown = parent_config(SweepSettings(**vars(tiny_config()), sweep=sweep))
    assert dict(flatten(vars(shown.sweep)))["storage"] == "postgresql://host/trials"
    assert SECRET not in repr(shown)


FORBIDDEN = re.compile(
    r"trust_remote_code=True|\bpickle\.|import pickle|allow_pickle=True|weights_only=False|0\.0\.0\.0"
)


def test_no_line_of_the_project_opens_a_door() -> None:
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("conf/**/*.yaml"), ROOT / "Makefile", ROOT / "dvc.yaml"]
    assert len(files) > 100
    lines = [(path.name, line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if FORBIDDEN.search(line[1])] == []
    assert src.ui.parser().parse_args([]).host == "127.0.0.1"
