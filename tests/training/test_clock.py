"""The clock of a training run: it stands still while it is paused."""

from types import SimpleNamespace

import pytest

from src.training import TrainingClock, clock


def test_it_stands_still_while_paused_and_goes_on_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5.0
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now))
    training = TrainingClock()
    start = training()
    now += 2
    with pytest.raises(KeyError), training.paused():
        now += 100
        assert training() - start == 2
        raise KeyError
    assert (training() - start, training.evaluation_seconds) == (2, 100)
    now += 3
    with training.paused():
        now += 10
    assert (training() - start, training.evaluation_seconds) == (5, 110)
