"""Precision and CPU threads: bf16 if a timed matrix product shows that it is faster on this machine."""

import time

import torch

from src.utils.processes import available_cores, local_world_size

SHAPE = (512, 384, 1536)
"""Rows, inputs and outputs of the timed matrix product, typical of a training step of a small encoder."""
MARGIN = 1.5
"""Minimum speed-up of bf16: autocast spends time on casts, and the choice must not vary from run to run."""


def seconds_per_product(dtype: torch.dtype, repeats: int = 8) -> float:
    """Return the shortest time in seconds of `repeats` matrix products of `SHAPE`, after one to warm up."""
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
    """Return fp32 or bf16: `wanted`, or for `auto` bf16 if the GPU supports it, or the CPU is clearly faster in it."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    gain = seconds_per_product(torch.float32) / seconds_per_product(torch.bfloat16)
    return "bf16" if gain > MARGIN else "fp32"


def use_threads(wanted: int) -> int:
    """Set the number of CPU threads (0: this process's share of the cores) and return it."""
    threads = wanted or max(1, available_cores() // local_world_size())
    torch.set_num_threads(threads)
    return threads


def peak_flops(precision: str) -> float:
    """Return the floating-point operations per second that a matrix product of `SHAPE` reaches on the CPU."""
    rows, inputs, outputs = SHAPE
    return 2 * rows * inputs * outputs / seconds_per_product(torch.bfloat16 if precision == "bf16" else torch.float32)
