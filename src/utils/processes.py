"""Distributed training under torchrun: rank, world size, process group, broadcast and barrier.

The main process (rank 0) tracks, writes and prints; the others only compute. With a single process nothing is
exchanged. torch is imported inside functions, so that commands can check their input first.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from src.utils.errors import require

P = ParamSpec("P")
T = TypeVar("T")


def world_size() -> int:
    """Return the number of processes of this training."""
    return int(os.environ.get("WORLD_SIZE", 1))


def local_world_size() -> int:
    """Return the number of processes of this training on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def is_main_process() -> bool:
    """Return whether this is the process (rank 0) that tracks, writes and prints."""
    return int(os.environ.get("RANK", 0)) == 0


def available_cores() -> int:
    """Return the number of CPU cores that this process may use; macOS and Windows do not limit them by process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main_process_only(function: Callable[P, None]) -> Callable[P, None]:
    """Return a version of `function` that does nothing except in the main process."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_main_process():
            function(*args, **kwargs)

    return guarded


def check_batch_share(batch_size: int) -> None:
    """Raise `UserError` unless a batch can be divided evenly among the processes."""
    divisible = batch_size % world_size() == 0
    require(divisible, "trainer.batch_size", f"a multiple of the {world_size()} processes of torchrun", batch_size)


@contextmanager
def process_group() -> Iterator[None]:
    """Initialise the process group of torch for the duration of the block, if there are several processes."""
    if world_size() == 1:
        yield
        return
    import torch.distributed as dist

    # raised because accelerate passes a deprecated argument to DDP
    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
    dist.init_process_group()
    try:
        yield
    finally:
        dist.destroy_process_group()


def broadcast(make: Callable[[], T]) -> T:
    """Call `make` in the main process only, and return its result in every process."""
    if world_size() == 1:
        return make()
    import torch.distributed as dist

    shared = [make() if is_main_process() else None]
    dist.broadcast_object_list(shared)
    return shared[0]  # type: ignore[return-value]


def barrier() -> None:
    """Wait until every process has reached this call."""
    if world_size() > 1:
        import torch.distributed as dist

        dist.barrier()
