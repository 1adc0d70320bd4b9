"""Workers of a sweep: processes on this machine, or tasks on a Ray cluster (the optional extra `ray`)."""

import logging
import os
import signal
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from datasets import disable_progress_bars

from src.cli import handle_errors
from src.cli.jobs import INTERRUPTED, MISTAKE
from src.config import SweepSettings
from src.config.tracking import redact
from src.data import load_examples
from src.sweeping.space import sweep_folder
from src.sweeping.study import SweepStudy
from src.sweeping.trainings import Trainings, split_validation
from src.sweeping.trials import TrialRunner
from src.tracking import known_run
from src.utils.console import log_to_file, setup_logging
from src.utils.errors import UserError
from src.utils.processes import available_cores

log = logging.getLogger(__name__)

RAY_ADDRESS = "RAY_ADDRESS"
"""Environment variable with the address of a cluster; `auto`: the cluster that this machine belongs to."""
SECONDS_TO_STOP = 20
EXIT_CODES = (0, 1, MISTAKE, INTERRUPTED)
"""Exit codes of workers that have ended by themselves; others are those of processes that died."""


def run_worker(config: SweepSettings, parent_run: str) -> None:
    """Run trials as children of a parent run until none is waiting: the body of a process or a task."""
    setup_logging()
    disable_progress_bars()
    with log_to_file(sweep_folder(config) / "sweep.log"):
        study = SweepStudy(config)
        check_tracking(config, parent_run)
        parts = split_validation(config, load_examples(config.data))
        TrialRunner(Trainings(study, parts)).run_all(parent_run)


def run_process(config: SweepSettings, parent_run: str) -> None:
    """Run a worker in a process on this machine, with the exit codes of a command."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with handle_errors():
        run_worker(config, parent_run)


def run_processes(config: SweepSettings, parent_run: str) -> None:
    """Run `sweep.workers` worker processes until all have ended; they are terminated with this process.

    Another process takes the place of one that dies, as for want of memory, `sweep.failures` times for each worker.

    Raises `UserError` if every one of them ended with an error.
    """
    # a fork of this process would inherit its threads and database connections in an undefined state; the fork server
    # only imports the libraries, once for all workers
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    share = share_cores(config, available_cores())
    count = config.sweep.workers
    processes = [
        context.Process(target=run_process, args=(share, parent_run))
        for _ in range(count * (1 + config.sweep.failures))
    ]
    running, spare, codes = processes[:count], processes[count:], []
    try:
        for worker in running:
            worker.start()
        while running:
            wait([worker.sentinel for worker in running])
            for worker in [each for each in running if not each.is_alive()]:
                running.remove(worker)
                codes.append(worker.exitcode)
                if worker.exitcode not in EXIT_CODES and spare:
                    log.warning(f"a worker has died (exit code {worker.exitcode}): another takes its place")
                    running.append(spare.pop())
                    running[-1].start()
    except BaseException:
        for worker in running:
            if worker.is_alive():
                worker.terminate()
        for worker in running:
            worker.join()
        raise
    if all(codes):
        raise UserError(
            f"expected workers that end without an error, found the exit codes {codes}: see the messages above for the"
            " cause; the same command resumes the sweep."
        )


def share_cores(config: SweepSettings, cores: int) -> SweepSettings:
    """Return the settings of one worker: its share of the cores as threads, unless `trainer.threads` is set."""
    if config.trainer.threads or config.sweep.workers == 1:
        return config
    threads = max(1, cores // config.sweep.workers)
    return replace(config, trainer=replace(config.trainer, threads=threads))


def check_tracking(config: SweepSettings, parent_run: str) -> None:
    """Raise `UserError` unless the parent run is in the MLflow store of this process."""
    if known_run(config, parent_run) is None:
        raise UserError(
            f"expected the sweep's run {parent_run} in the MLflow store, found none in"
            f" {redact(config.tracking.uri)}: give all machines the same server, tracking=server"
            " tracking.uri=http://HOST:5000."
        )


def run_tasks(config: SweepSettings, parent_run: str) -> None:
    """Run `sweep.workers` workers as Ray tasks until all have ended.

    They run on the cluster of RAY_ADDRESS, or on a local one that ends with this process. A task whose process dies is
    started again, `sweep.failures` times; its trial is run by the next free task.

    Raises `UserError` if there is no Ray or no cluster, the database is a file of one machine, or every task failed.
    """
    ray = _connect()
    try:
        check_storage(config, [node for node in ray.nodes() if node["Alive"]])
        share = share_cores(config, int(ray.cluster_resources()["CPU"]))
        share = replace(share, folder=str(Path(config.folder).resolve()))
        task = ray.remote(num_cpus=share.trainer.threads or 1, max_retries=config.sweep.failures)(run_worker)
        tasks = [task.remote(share, parent_run) for _ in range(config.sweep.workers)]
        _wait(ray, tasks)
        errors = [_error_of(ray, each) for each in tasks]
    finally:
        ray.shutdown()
    if all(errors):
        raise UserError(
            f"expected tasks that end without an error, found all {len(errors)} failed, the first with {errors[0]}:"
            " fix the cause and run the same command again."
        )


def _connect() -> Any:
    if RAY_ADDRESS not in os.environ:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # makes Ray listen on 127.0.0.1 only
    try:
        import ray
    except ImportError as error:
        raise UserError("sweep.engine=ray: expected Ray, found none: pip install -e '.[ray]'.") from error
    options: dict[str, Any] = {} if RAY_ADDRESS in os.environ else {"address": "local", "include_dashboard": False}
    try:
        ray.init(**options, configure_logging=False)
    except ConnectionError as error:
        raise UserError(
            f"sweep.engine=ray: expected a cluster at {RAY_ADDRESS}={os.environ.get(RAY_ADDRESS)}, found: {error}:"
            f" start it, or unset {RAY_ADDRESS} for one on this machine."
        ) from error
    return ray


def check_storage(config: SweepSettings, nodes: list[Any]) -> None:
    """Raise `UserError` if several machines (Ray's nodes) would share a database that is a file of one."""
    if len(nodes) > 1 and not (config.sweep.storage or "").startswith("postgresql"):
        raise UserError(
            f"sweep.storage must be a database for all {len(nodes)} machines of the cluster, found a file of one:"
            " give postgresql://USER@HOST/NAME."
        )


def _wait(ray: Any, tasks: list[Any]) -> None:
    """Wait until all tasks have ended; cancel them if this process is interrupted."""
    try:
        ray.wait(tasks, num_returns=len(tasks))
    except BaseException:
        for task in tasks:
            ray.cancel(task)
        ray.wait(tasks, num_returns=len(tasks), timeout=SECONDS_TO_STOP)
        raise


def _error_of(ray: Any, task: Any) -> str | None:
    """Return the error message of a task that has ended, None if it succeeded."""
    try:
        ray.get(task)
    except ray.exceptions.RayTaskError as error:
        return str(error.cause)
    except ray.exceptions.RayError as error:
        return str(error)
    return None
