"""What a sweep searches, how, and on how many processes."""

from dataclasses import dataclass, field
from typing import Any

from src.config.checks import require

SAMPLERS = ("tpe", "random", "grid", "gp")
PRUNERS = ("median", "hyperband", "wilcoxon", "none")
ENGINES = ("local", "ray")


@dataclass
class ConfirmConfig:
    """How the winner is told from the lucky."""

    top_k: int = 3
    """The best so many trials are run again; 1: the best trial wins as it is."""
    seeds: int = 3
    """Further seeds each of them is run with: trainer.seed + 1, + 2, ...; 0: the best trial wins as it is."""

    def __post_init__(self) -> None:
        require(self.top_k >= 1, "sweep.confirm.top_k", "at least 1", self.top_k)
        require(self.seeds >= 0, "sweep.confirm.seeds", "at least 0", self.seeds)


@dataclass
class SweepConfig:
    """A search for better values of any keys of the configuration."""

    trials: int = 20
    """Finished and pruned trials in all, however often the sweep was interrupted."""
    space: dict[str, Any] = field(default_factory=dict)
    """For each key either `choices`, or `low` and `high` with `log`, `integer` or `step`: src/sweeping/space.py."""
    sampler: str = "tpe"
    """tpe, random, grid (`choices` or a `step` for every key) or gp (a Gaussian process)."""
    pruner: str = "median"
    """median, hyperband, wilcoxon, or none: every trial runs to its end."""
    seed: int = 42
    """Seed of the draws and of the split."""
    validation: float = 0.1
    """Share of train (0 to 1, exclusive) the trials are compared on; they train on the rest."""
    evaluations: int = 8
    """Evaluations a trial at equal parts of its training, so that trials of other lengths can be compared."""
    workers: int = 1
    """Processes that share the trials; each computes on its share of the cores."""
    engine: str = "local"
    """local: processes of this machine; ray: tasks on the cluster of RAY_ADDRESS, or on one of this machine alone."""
    storage: str | None = None
    """Database of the trials, such as postgresql://USER@HOST/NAME; empty: sweep/study.db in the result folder."""
    heartbeat: int = 20
    """Seconds between signs of life; a trial of another machine without one for three times as long runs again."""
    failures: int = 3
    """Failed trials at which one start of the sweep gives up."""
    confirm: ConfirmConfig = field(default_factory=ConfirmConfig)

    def __post_init__(self) -> None:
        for key, held, expected in (
            ("trials", self.trials >= 1, "at least 1"),
            ("sampler", self.sampler in SAMPLERS, f"one of {list(SAMPLERS)}"),
            ("pruner", self.pruner in PRUNERS, f"one of {list(PRUNERS)}"),
            ("seed", 0 <= self.seed < 2**32, "at least 0 and below 2**32"),
            ("validation", 0 < self.validation < 1, "above 0 and below 1"),
            ("evaluations", self.evaluations >= 1, "at least 1"),
            ("workers", self.workers >= 1, "at least 1"),
            ("engine", self.engine in ENGINES, f"one of {list(ENGINES)}"),
            ("heartbeat", self.heartbeat >= 1, "at least 1 second"),
            ("failures", self.failures >= 1, "at least 1"),
        ):
            require(held, f"sweep.{key}", expected, getattr(self, key))
        known = self.storage is None or self.storage.split(":", 1)[0].split("+")[0] in ("postgresql", "sqlite")
        shown = (self.storage or "").split("@")[-1]
        require(known, "sweep.storage", "sqlite:///PATH or postgresql://USER@HOST/NAME", shown)
