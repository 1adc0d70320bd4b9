"""Lock in the registry: one holder at a time, dead holders, interruptions."""

import os
import shutil
import signal
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from src.tracking import registry_lock
from src.tracking.registry_lock import RELEASED, lock_name
from src.utils.errors import UserError


@pytest.fixture
def client(empty_store: Path, tmp_path: Path) -> MlflowClient:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    client = client_of(tmp_path)
    client.create_registered_model("tiny")
    return client


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder}/mlflow.db", registry_uri=f"sqlite:///{folder}/mlflow.db")


def locks(client: MlflowClient) -> list[str]:
    return [model.name for model in client.search_registered_models() if model.name != "tiny"]


def released(client: MlflowClient) -> str | None:
    return client.get_registered_model("tiny").tags.get(RELEASED)


def count_up(folder: Path, barrier: Any) -> None:
    """Add 5 to the number in a file, one at a time."""
    client, file = client_of(folder), folder / "count"
    client.search_registered_models()
    barrier.wait()
    for _ in range(5):
        with registry_lock.registry_lock(client, "tiny"):
            former = int(file.read_text())
            client.search_registered_models()
            file.write_text(str(former + 1))


def die(folder: Path) -> None:
    with registry_lock.registry_lock(client_of(folder), "tiny"):
        os.kill(os.getpid(), signal.SIGKILL)


def test_processes_hold_it_one_after_the_other(client: MlflowClient, tmp_path: Path) -> None:
    context = get_context("forkserver")
    context.set_forkserver_preload(["src.tracking"])
    (tmp_path / "count").write_text("0")
    barrier = context.Barrier(3)
    processes = [context.Process(target=count_up, args=(tmp_path, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == released(client) == "15"
    assert not locks(client)


def test_the_lock_of_a_killed_process_is_given_up_after_a_while(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = get_context("forkserver").Process(target=die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and locks(client) == [lock_name("tiny", 1)]
    monkeypatch.setattr(registry_lock, "PATIENCE_SECONDS", 0.01)
    with (
        pytest.raises(
            UserError, match=rf"tiny: expected its lock .* held by process {process.pid} on .*: run the same"
        ),
        registry_lock.registry_lock(client, "tiny"),
    ):
        raise AssertionError
    monkeypatch.setattr(registry_lock, "PATIENCE_SECONDS", 120)
    monkeypatch.setattr(registry_lock, "DEAD_SECONDS", 0.01)
    with registry_lock.registry_lock(client, "tiny"):
        assert sorted(locks(client)) == [lock_name("tiny", 1), lock_name("tiny", 2)]
    assert not locks(client) and released(client) == "2"


def test_of_two_that_give_up_the_same_dead_lock_one_gets_the_next_and_the_other_waits_for_it(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create_registered_model(lock_name("tiny", 1), {"holder": "a dead process"})
    monkeypatch.setattr(registry_lock, "DEAD_SECONDS", -1)
    first, pauses = ExitStack(), []

    def pause(_: float) -> None:
        pauses.append(locks(client))
        if len(pauses) == 2:  # this process has given up the dead lock, and is slower than another
            first.enter_context(registry_lock.registry_lock(client, "tiny"))
            monkeypatch.setattr(registry_lock, "DEAD_SECONDS", 1000)
        elif len(pauses) == 7:
            assert len(locks(client)) == 2
            first.close()

    monkeypatch.setattr(registry_lock.time, "sleep", pause)
    with registry_lock.registry_lock(client, "tiny"):
        assert len(pauses) == 7 and locks(client) == [lock_name("tiny", 3)]


def test_a_number_that_was_released_is_not_held_again(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    create = registry_lock._create

    def overtaken(*arguments: Any) -> str | None:
        monkeypatch.setattr(registry_lock, "_create", create)
        with registry_lock.registry_lock(client, "tiny"):
            pass
        return create(*arguments)

    monkeypatch.setattr(registry_lock, "_create", overtaken)
    with registry_lock.registry_lock(client, "tiny"):
        assert lock_name("tiny", 2) in locks(client)
    assert not locks(client) and released(client) == "2"


@pytest.mark.parametrize("place", ["_create", "inside"])
def test_an_interrupted_process_releases_it(place: str, client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    create = registry_lock._create

    def interrupted(*arguments: Any) -> None:
        create(*arguments)
        raise KeyboardInterrupt

    if place == "_create":
        monkeypatch.setattr(registry_lock, "_create", interrupted)
    with pytest.raises(KeyboardInterrupt), registry_lock.registry_lock(client, "tiny"):
        raise KeyboardInterrupt
    assert not locks(client) and released(client) == "1"


def test_locks_of_models_with_similar_names_stay(client: MlflowClient) -> None:
    for name in ("tiny (lock 1) (lock 1)", "tiny (lock x)", "tiny_ (lock 1)"):
        client.create_registered_model(name)
    with registry_lock.registry_lock(client, "tiny"):
        pass
    assert len(locks(client)) == 3
