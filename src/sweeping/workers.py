"""The processes of a sweep on one machine, each with its share of the cores."""

import os
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context

from src.config import SweepSettings
from src.errors import UserError

Work = Callable[[SweepSettings, str], None]
"""Runs trials of a sweep below a parent run until none is left."""


def share_of(config: SweepSettings) -> SweepSettings:
    """Return the settings of one worker: with its share of the threads, unless their number was given."""
    if config.trainer.threads or config.sweep.workers == 1:
        return config
    threads = max(1, len(os.sched_getaffinity(0)) // config.sweep.workers)
    return replace(config, trainer=replace(config.trainer, threads=threads))


def run_workers(config: SweepSettings, parent_run: str, work: Work) -> None:
    """Run `work` in `sweep.workers` processes until all have ended; they end with this one.

    Raises:
        UserError: every one of them ended with an error.

    """
    # forked processes would inherit the threads and database connections of this one in an unknown state
    context = get_context("spawn")
    workers = [context.Process(target=work, args=(share_of(config), parent_run)) for _ in range(config.sweep.workers)]
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
