"""What a sweep shows in the terminal: a line for each trial, with a forecast."""

from typing import Any

from optuna.trial import TrialState

from src.report.console import console
from src.sweeping.study import SweepStudy

WORDS = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class TrialView:
    """Prints trials as they end."""

    def __init__(self, total: int, workers: int) -> None:
        self.total = total
        self.workers = workers
        self.seconds: list[float] = []

    def show(self, study: SweepStudy, number: int, values: dict[str, Any], seconds: float) -> None:
        """Print how a trial ended, the best so far and the time that is left."""
        self.seconds.append(seconds)
        trials = study.trials()
        trial, done = trials[number], study.done
        finished = [other for other in trials if other.state == TrialState.COMPLETE]
        best = max(finished, key=lambda other: other.value or 0.0, default=None)
        left = (self.total - done) * sum(self.seconds) / len(self.seconds) / self.workers
        console.print(
            f"trial {number:3d}  {WORDS.get(trial.state, 'interrupted'):8} {_value(trial):>7}"
            f"  best {_value(best) if best else '–':>7} {f'(trial {best.number})' if best else '':11}"
            f"  {done}/{self.total} done, {duration(left)} left  {in_words(values)}",
            soft_wrap=True,
        )


def _value(trial: Any) -> str:
    values = [*trial.intermediate_values.values()] if trial.value is None else [trial.value]
    return f"{max(values):.4f}" if values else "–"


def in_words(values: dict[str, Any]) -> str:
    """Return the values as `learning_rate=3.1e-05 epochs=2`."""
    return " ".join(
        f"{key.rpartition('.')[2]}={f'{value:.3g}' if isinstance(value, float) else value}"
        for key, value in values.items()
    )


def duration(seconds: float) -> str:
    """Return a time in the largest unit that suits it."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
