"""The processes of one training under `torchrun`: the first records, writes and prints, the others only compute.

Everything here is trivial where there is one process.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist

from src.config.checks import require


def processes() -> int:
    """Return how many processes share this training."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Return whether this is the process that records, writes and prints."""
    return int(os.environ.get("RANK", 0)) == 0


def neighbours() -> int:
    """Return how many processes of this training share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def check_share(batch_size: int) -> None:
    """Raise `UserError` unless every process gets the same share of a batch."""
    held = batch_size % processes() == 0
    require(held, "trainer.batch_size", f"a multiple of the {processes()} processes of torchrun", batch_size)


@contextmanager
def joined() -> Iterator[None]:
    """Connect the processes for as long as the block lasts."""
    if processes() > 1:
        # said to accelerate, which passes DDP an argument with an old name
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
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
