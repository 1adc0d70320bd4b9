"""Which number format this machine multiplies faster in, and on how many threads."""

import os
import time

import torch

from src.processes import neighbours

SHAPE = (512, 384, 1536)
"""Rows, inputs and outputs of a matrix product such as a step of a small encoder is made of."""


def seconds_per_product(dtype: torch.dtype, repeats: int = 8) -> float:
    """Return the fastest time in seconds of one matrix product of `SHAPE`, of `repeats` after a first one."""
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
    """Return fp32 or bf16: the wanted one, or for `auto` the one this machine computes clearly faster."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    # autocast spends time on casts: bf16 must win by a margin, and a narrow win must not flip from run to run
    gain = seconds_per_product(torch.float32) / seconds_per_product(torch.bfloat16)
    return "bf16" if gain > 1.5 else "fp32"


def use_threads(wanted: int) -> int:
    """Compute on as many threads as wanted, for 0 on this process's share of the cores; return their number."""
    threads = wanted or max(1, len(os.sched_getaffinity(0)) // neighbours())
    torch.set_num_threads(threads)
    return threads


def peak_flops() -> float:
    """Return the operations a second that a bf16 matrix product of `SHAPE` reaches on this machine."""
    rows, inputs, outputs = SHAPE
    return 2 * rows * inputs * outputs / seconds_per_product(torch.bfloat16)
