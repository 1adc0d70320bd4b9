"""The workers of a sweep as tasks of a Ray cluster (the optional extra `ray`)."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from src.config import SweepSettings
from src.errors import UserError
from src.sweeping.workers import Work, share_of

GIVEN = "RAY_ADDRESS"
"""Environment variable with the address of a cluster; `auto`: the one that this machine belongs to."""
SECONDS_TO_STOP = 20


def run_tasks(config: SweepSettings, parent_run: str, work: Work) -> None:
    """Run `work` in `sweep.workers` tasks until all have ended.

    They run on the cluster of RAY_ADDRESS, or on one that is started here and ends with this process. A task whose
    process dies starts again; the trial it was at is run again by whoever comes first.

    Raises:
        UserError: there is no Ray or no cluster, the database is a file of one machine, or every task failed.

    """
    ray = _connected()
    try:
        check_storage(config, [node for node in ray.nodes() if node["Alive"]])
        share = share_of(config, int(ray.cluster_resources()["CPU"]))
        share = replace(share, folder=str(Path(config.folder).resolve()))
        task = ray.remote(num_cpus=share.trainer.threads or 1, max_retries=-1)(work)
        tasks = [task.remote(share, parent_run) for _ in range(config.sweep.workers)]
        errors = [_error(ray, each) for each in _until_ended(ray, tasks)]
    finally:
        ray.shutdown()
    if all(errors):
        raise UserError(f"expected tasks that end well, found all {len(errors)} failed, the first with: {errors[0]}")


def _connected() -> Any:
    if GIVEN not in os.environ:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's way to say: listen on 127.0.0.1 only
    try:
        import ray
    except ImportError as error:
        raise UserError("sweep.engine=ray: expected Ray, found none: pip install -e '.[ray]'.") from error
    options: dict[str, Any] = {} if GIVEN in os.environ else {"address": "local", "include_dashboard": False}
    try:
        ray.init(**options, configure_logging=False)
    except ConnectionError as error:
        raise UserError(
            f"sweep.engine=ray: expected a cluster at {GIVEN}={os.environ.get(GIVEN)}, found: {error}: start it, or"
            f" unset {GIVEN} for one on this machine."
        ) from error
    return ray


def check_storage(config: SweepSettings, nodes: list[Any]) -> None:
    """Raise `UserError` where several machines (Ray's nodes) would share a database that is a file of one."""
    if len(nodes) > 1 and not (config.sweep.storage or "").startswith("postgresql"):
        raise UserError(
            f"sweep.storage must be a database for all {len(nodes)} machines of the cluster, found a file of one:"
            " give postgresql://USER@HOST/NAME."
        )


def _until_ended(ray: Any, tasks: list[Any]) -> list[Any]:
    """Return the tasks once all have ended; an interruption is passed on to them."""
    try:
        ray.wait(tasks, num_returns=len(tasks))
    except BaseException:
        for task in tasks:
            ray.cancel(task)
        ray.wait(tasks, num_returns=len(tasks), timeout=SECONDS_TO_STOP)
        raise
    return tasks


def _error(ray: Any, task: Any) -> str | None:
    """Return why a task failed, None if it did not."""
    try:
        ray.get(task)
    except ray.exceptions.RayTaskError as error:
        return str(error.cause)
    except ray.exceptions.RayError as error:
        return str(error)
    return None
