"""Lock in the model registry: one process at a time changes a registered model, on whatever machine it runs.

A lock is a registered model named `NAME (lock 7)`, as its creation is atomic in every store: names are unique. Numbers
rise, and the last one that was released is a tag of the model. A process that finds the lock of a dead process, which
will not be released, takes the next number; so two that give up the same dead lock at once compete for one name, and
neither can delete the lock of the other.
"""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking import MlflowClient

from src.tracking.store import EXISTS, STORE_ERRORS
from src.utils.errors import UserError

RELEASED = "lock.released"
"""Tag of a registered model: number of the last lock on it that was released."""
HOLDER = "holder"
"""Tag of a lock: the process that holds it."""
DEAD_SECONDS = 60.0
"""A lock that one process has held for this long is that of a dead process: a change takes less than a second."""
PATIENCE_SECONDS = 180.0
"""Longest time to wait for a lock."""
PAUSE_SECONDS = 0.1
OTHERS = [EXISTS, ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)]
"""Error codes of a lock that another process has created or deleted."""


@contextmanager
def registry_lock(client: MlflowClient, name: str) -> Iterator[None]:
    """Hold the lock on a registered model for the duration of the block, which must take less than `DEAD_SECONDS`.

    The time that another process holds the lock is measured on this machine, so that clocks may differ.

    Raises `UserError` if other processes hold it for longer than `PATIENCE_SECONDS`.
    """
    holder = f"process {os.getpid()} on {socket.gethostname()}, {uuid4().hex[:8]}"
    try:
        _acquire(client, name, holder)
        yield
    finally:
        with suppress(*STORE_ERRORS):  # an unreachable store has the lock of a dead process then
            _release(client, name, holder)


def _acquire(client: MlflowClient, name: str, holder: str) -> None:
    started = since = time.monotonic()
    number, found = 1, None
    while time.monotonic() - started < PATIENCE_SECONDS:
        number = max(number, _released(client, name) + 1)
        former, found = found, _create(client, lock_name(name, number), holder)
        if found == holder:
            if _released(client, name) < number:
                return
            continue  # this number was released between the two requests: the next one
        if found is None or found != former:
            since = time.monotonic()
        elif time.monotonic() - since > DEAD_SECONDS:
            number += 1
        time.sleep(PAUSE_SECONDS)
    raise UserError(
        f"{name}: expected its lock in the registry to become free within {PATIENCE_SECONDS:.0f} s, found it held by"
        f" {found}: run the same command again once that process has ended."
    )


def _create(client: MlflowClient, lock: str, holder: str) -> str | None:
    """Create a lock unless it exists; return its holder, None if it has been released in the meantime."""
    with _others_allowed():
        client.create_registered_model(lock, {HOLDER: holder})
    with _others_allowed():  # read in any case: a request that was sent twice finds the lock that it has made itself
        return str(client.get_registered_model(lock).tags.get(HOLDER, "another process"))
    return None


def _release(client: MlflowClient, name: str, holder: str) -> None:
    """Record the number of this process's lock as released, then delete all locks up to the last such number."""
    pattern, like = re.compile(rf"{re.escape(name)} \(lock (\d{{1,9}})\)"), name.replace("'", "_")
    similar = client.search_registered_models(f"name LIKE '{like} (lock %'")
    locks = {int(match[1]): model for model in similar if (match := pattern.fullmatch(model.name))}
    released = _released(client, name)
    last = max([released, *(number for number, model in locks.items() if model.tags.get(HOLDER) == holder)])
    if last > released:
        client.set_registered_model_tag(name, RELEASED, str(last))
    for number in locks:
        if number <= last:
            with _others_allowed():
                client.delete_registered_model(lock_name(name, number))


@contextmanager
def _others_allowed() -> Iterator[None]:
    """Suppress the error of a lock that another process has created or deleted just before."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in OTHERS:
            raise


def _released(client: MlflowClient, name: str) -> int:
    """Return the number of the last lock on a model that was released, 0 if there is none."""
    found = client.get_registered_model(name).tags.get(RELEASED, "")
    return int(found) if re.fullmatch(r"\d{1,9}", found) else 0


def lock_name(name: str, number: int) -> str:
    """Return the name of a lock on a registered model."""
    return f"{name} (lock {number})"
