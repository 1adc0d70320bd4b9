"""What a slow store may cost a training, by a clock that the test moves."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from src.config.tracking import TrackingConfig
from src.tracking import outbox as outboxes
from src.tracking.journal import Journal, Operation
from src.tracking.outbox import Outbox


class SlowStore:
    """Takes seconds for each operation, and fails if told so."""

    def __init__(self, seconds: float, fails: bool) -> None:
        self.seconds, self.fails = seconds, fails
        self.now = self.spent = 0.0
        self.taken: list[int] = []

    def send(self, operation: Operation) -> dict[str, str]:
        self.now += self.seconds
        self.spent += self.seconds
        if self.fails:
            raise TimeoutError
        self.taken.append(operation.number)
        return {}


@pytest.mark.parametrize("fails", [False, True], ids=["answers", "fails"])
@pytest.mark.parametrize("seconds", [0.01, 3.0, 20.0])
def test_a_slow_store_costs_a_training_a_tenth_of_its_time(
    seconds: float, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SlowStore(seconds, fails)
    monkeypatch.setattr(outboxes, "time", SimpleNamespace(monotonic=lambda: store.now))
    monkeypatch.setattr(outboxes, "Sender", lambda _: store)
    outbox = Outbox(Journal.create(tmp_path, None, TrackingConfig(), "tiny"))
    for _ in range(200):
        store.now += 10
        outbox.put("metrics")
    assert 0 < store.spent <= 0.1 * 2000 + seconds
    store.fails = False
    outbox.flush(float("inf"))
    assert store.taken == list(range(1, 201))
    assert outbox.problem is None
