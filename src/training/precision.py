"""Number format and threads of a training: bf16 where a probe finds that this machine computes it faster."""

import os
import time

import torch

from src.utils.processes import local_world_size

SHAPE = (512, 384, 1536)
"""Rows, inputs and outputs of a matrix product that is typical of a step of a small encoder."""
MARGIN = 1.5
"""How much faster bf16 must be: autocast spends time on casts, and a narrow gain must not flip from run to run."""


def seconds_per_product(dtype: torch.dtype, repeats: int = 8) -> float:
    """Return the shortest time in seconds of a matrix product of `SHAPE`, of `repeats` after a first one."""
    rows, inputs, outputs = SHAPE
    left, right = torch.ones(rows, inputs, dtype=dtype), torch.ones(outputs, inputs, dtype=dtype)
    torch.nn.functional.linear(left, right)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.nn.functional.linear(left, right)
        times.append(time.perf_counter() - start)
    return min(times)


def choose_precision(wanted: str) -> str:
    """Return fp32 or bf16: the wanted one, or for `auto` the one that this machine computes clearly faster."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    gain = seconds_per_product(torch.float32) / seconds_per_product(torch.bfloat16)
    return "bf16" if gain > MARGIN else "fp32"


def use_threads(wanted: int) -> int:
    """Set the number of CPU threads, for 0 to this process's share of the cores; return it."""
    threads = wanted or max(1, len(os.sched_getaffinity(0)) // local_world_size())
    torch.set_num_threads(threads)
    return threads


def peak_flops() -> float:
    """Return the floating-point operations a second that a bf16 matrix product of `SHAPE` reaches on this machine."""
    rows, inputs, outputs = SHAPE
    return 2 * rows * inputs * outputs / seconds_per_product(torch.bfloat16)
