"""The processes of one training under `torchrun`: the first records, writes and prints, the others only compute.

Everything here is trivial where there is one process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist


def processes() -> int:
    """Return how many processes share this training."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Return whether this is the process that records, writes and prints."""
    return int(os.environ.get("RANK", 0)) == 0


def neighbours() -> int:
    """Return how many processes of this training share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


@contextmanager
def joined() -> Iterator[None]:
    """Connect the processes for as long as the block lasts."""
    if processes() > 1:
        dist.init_process_group()
    try:
        yield
    finally:
        if processes() > 1:
            dist.destroy_process_group()


def agreed(value: Any) -> Any:
    """Return the first process's value in all of them, which wait for it."""
    shared = [value]
    if processes() > 1:
        dist.broadcast_object_list(shared)
    return shared[0]


def wait_for_all() -> None:
    """Go on only when every process has come this far."""
    if processes() > 1:
        dist.barrier()
