"""The package OpenVINO without its telemetry: conversion of an ONNX graph, and sessions."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TELEMETRY = "openvino_telemetry"
"""Package that reports the import of openvino to its vendor over the network."""
GROUP = "sentence_embedding"
"""Group of the metadata in the graph's file."""


def import_openvino() -> Any:
    """Return the package, which is imported as if that of its telemetry were not installed."""
    with _hidden(TELEMETRY):
        import openvino
    return openvino


def convert(source: Path, target: Path, half: bool, metadata: Mapping[str, str]) -> None:
    """Write an ONNX graph as model.xml and model.bin; `half`: with weights stored in 16 bits."""
    openvino = import_openvino()
    model = openvino.Core().read_model(source)
    for number, node in enumerate(model.get_ordered_ops()):  # their own names count what the process has made before
        node.set_friendly_name(f"{node.get_type_name()}_{number}")
    for key, value in metadata.items():
        model.set_rt_info(value, [GROUP, key])
    openvino.save_model(model, target, compress_to_fp16=half)


def open_session(
    path: Path, threads: int, exact: bool
) -> Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]:
    """Return the graph as a function of ids and mask; `exact`: in float32 also where the CPU would choose bf16."""
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if exact:
        options["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = import_openvino().Core().compile_model(path, "CPU", options)

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = compiled([ids, mask])[0].copy()
        return found

    return run


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Let an import of a package fail for the block, unless it has been imported."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
