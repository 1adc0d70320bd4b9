"""Clock of a training run that is paused during its evaluations."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class TrainingClock:
    """Clock in seconds, from an arbitrary start, that measures training and evaluation apart.

    Another thread may read it, such as that of a progress bar.
    """

    def __init__(self) -> None:
        self.evaluation_seconds = 0.0
        """Duration of all pauses so far."""
        self._paused_at: float | None = None

    def __call__(self) -> float:
        """Return the time without pauses."""
        paused_at = self._paused_at
        return (time.perf_counter() if paused_at is None else paused_at) - self.evaluation_seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock for the duration of the block."""
        self._paused_at = start = time.perf_counter()
        try:
            yield
        finally:
            self.evaluation_seconds += time.perf_counter() - start
            self._paused_at = None
