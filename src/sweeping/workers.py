"""The processes of a sweep on one machine, each with its share of the cores."""

import os
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context

from src.config import SweepSettings
from src.errors import UserError
from src.tracking import known_run

Work = Callable[[SweepSettings, str], None]
"""Runs trials of a sweep below a parent run until none is left."""


def share_of(config: SweepSettings, cores: int) -> SweepSettings:
    """Return the settings of one worker: with its share of so many cores as threads, unless their number was given."""
    if config.trainer.threads or config.sweep.workers == 1:
        return config
    threads = max(1, cores // config.sweep.workers)
    return replace(config, trainer=replace(config.trainer, threads=threads))


def check_store(config: SweepSettings, parent_run: str) -> None:
    """Raise `UserError` unless the parent run is in the MLflow store of this process, as on one machine it is."""
    if known_run(config, parent_run) is None:
        raise UserError(
            f"expected the sweep's run {parent_run} in the MLflow store, found none in"
            f" {config.tracking.uri.split('@')[-1]}: give all machines the same server, tracking=server"
            " tracking.uri=http://HOST:5000."
        )


def run_workers(config: SweepSettings, parent_run: str, work: Work) -> None:
    """Run `work` in `sweep.workers` processes until all have ended; they end with this one.

    Raises:
        UserError: every one of them ended with an error.

    """
    # forked from this process they would inherit its threads and database connections in an unknown state; their own
    # forerunner has imported what takes seconds, and nothing else
    context = get_context("forkserver")
    context.set_forkserver_preload(["src.sweeping.trainings"])
    share = share_of(config, len(os.sched_getaffinity(0)))
    workers = [context.Process(target=work, args=(share, parent_run)) for _ in range(config.sweep.workers)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    except BaseException:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
        for worker in workers:
            worker.join()
        raise
    codes = [worker.exitcode for worker in workers]
    if all(codes):
        raise UserError(
            f"expected workers that end well, found the exit codes {codes}: see above for the cause; the same command"
            " goes on where they were."
        )
