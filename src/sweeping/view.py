"""What a sweep shows in the terminal: a line for each trial with a forecast, and the choice of the winner."""

import math
import shlex
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from optuna.trial import TrialState

from src.data import PairData
from src.report.console import console, from_here, print_table
from src.sweeping.selection import Standing
from src.sweeping.study import SweepStudy
from src.sweeping.values import in_words

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


def print_head(study: SweepStudy, parts: PairData) -> None:
    """Print what is searched, on what, and how far it is."""
    keys = ", ".join(key.rpartition(".")[2] for key in study.space)
    console.print(
        f"Search: {keys}; {len(parts.train):,} pairs to train on, {len(parts.dev):,} others of train to compare on;"
        f" {study.done} of {study.config.sweep.trials} trials done",
        soft_wrap=True,
    )


def _value(trial: Any) -> str:
    values = [*trial.intermediate_values.values()] if trial.value is None else [trial.value]
    return f"{max(values):.4f}" if values else "–"


def duration(seconds: float) -> str:
    """Return a time in the largest unit that suits it."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def ties(standings: list[Standing]) -> str:
    """Return the trials that cannot be told from the winner, each with the interval of the difference."""
    return "; ".join(
        f"trial {one.number} ({in_words(one.values)}), behind by {_span(one.behind)}"
        for one in standings[1:]
        if one.tied
    )


def _span(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.4f}, {interval[1]:.4f}]"


def training_command(study: SweepStudy) -> str:
    """Return how `src.train` is given the winner's values: with the options of this sweep but those it has searched."""
    given = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    keys = {one: one.lstrip("+~").partition("=")[0] for one in given}
    own = [shlex.quote(one) for one, key in keys.items() if not key.startswith("sweep.") and key not in study.space]
    return " ".join(["python -m src.train", *own, f"+tuned={study.folder.parent.name}"])


def print_choice(study: SweepStudy, standings: list[Standing], best: Path) -> None:
    """Print the winner, what it is worth and how to train with it."""
    winner = standings[0]
    seeds = study.config.sweep.confirm.seeds
    confirmed = not math.isnan(winner.interval.low)
    rows = {
        "winner": f"trial {winner.number}: {in_words(winner.values)}",
        "validation": f"{winner.found:.4f}, not confirmed with further seeds",
    }
    if confirmed:
        rows["validation"] = (
            f"{winner.mean:.4f} {_span(winner.interval)}, mean of {seeds} further seeds; found as {winner.found:.4f}"
        )
        rows["tied with"] = ties(standings) or "none"
        behind = [f"trial {one.number} by {_span(one.behind)}" for one in standings[1:] if not one.tied]
        rows["ahead of"] = "; ".join(behind) or "none"
    rows |= {
        "settings": str(from_here(best)),
        "train with it": training_command(study),
    }
    print_table(f"{study.name}: {study.done} trials", rows)
