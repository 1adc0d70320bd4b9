"""System metrics of a run: CPU, memory, disk, network and GPU."""

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Self

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from src.tracking.writer import SYSTEM

INTERVAL = 5
"""Seconds between two measurements."""


class SystemMonitor:
    """Measure system metrics in a thread for the duration of a `with` block.

    MLflow's own monitor queries the store before each measurement, and stops if the query fails.
    """

    def __init__(self, record: Callable[[dict[str, float], int], None]) -> None:
        self.record = record
        """Called with the values and the number of the measurement."""
        self.sources: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        with suppress(ImportError, RuntimeError):
            self.sources.append(GPUMonitor())
        self.stopped = Event()
        self.thread = Thread(target=self._measure, name="system metrics", daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()

    def _measure(self) -> None:
        step = 0
        while not self.stopped.wait(INTERVAL):
            values: dict[str, float] = {}
            for source in self.sources:
                source.collect_metrics()
                values |= source.aggregate_metrics()
                source.clear_metrics()
            self.record({f"{SYSTEM}{name}": value for name, value in values.items()}, step)
            step += 1
