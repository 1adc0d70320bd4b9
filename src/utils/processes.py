"""The processes of one training under torchrun: rank, world size, and what they exchange.

The main process (rank 0) records, writes and prints; the others only compute. With a single process every function
here is trivial. torch is imported where it is needed, so that a command can check its input first.
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
    """Return whether this process records, writes and prints."""
    return int(os.environ.get("RANK", 0)) == 0


def main_process_only(function: Callable[P, None]) -> Callable[P, None]:
    """Decorate a function without a result so that it does nothing in any process but the main one."""

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
    """Connect the processes for the duration of the block."""
    if world_size() == 1:
        yield
        return
    import torch.distributed as dist

    # for accelerate, which passes DDP an argument under its old name
    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
    dist.init_process_group()
    try:
        yield
    finally:
        dist.destroy_process_group()


def broadcast(make: Callable[[], T]) -> T:
    """Return in every process what `make` returns in the main process; the others do not call it."""
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
