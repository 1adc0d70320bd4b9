"""Reports a training to its trial as it goes."""

import math
import multiprocessing
from dataclasses import dataclass

from src.config import Config
from src.errors import Stopped
from src.metrics.names import LEARNING_RATE
from src.sweeping.claims import Claim
from src.training.curve import CurveRow


class Pruned(Stopped):
    """A trial that is not worth going on with."""


@dataclass
class TrialListener:
    """Reports each evaluation of a training to its trial, and ends the training if the trial is hopeless."""

    claim: Claim
    config: Config
    evaluations: int
    """Equal parts of a training after which trials are compared."""
    steps: int = 0

    def on_start(self, steps: int, step: int) -> None:
        """Note the length of the training."""
        self.steps = steps
        self.claim.note(steps=steps)

    def on_values(self, step: int, values: dict[str, float]) -> None:
        """Check that the learning rate is the one of the drawn warm-up; stop if the sweep's own process is gone."""
        expected = planned_rate(self.config, step, self.steps)
        found = values[LEARNING_RATE]
        assert math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-15), f"{found} at step {step}, not {expected}"
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            raise KeyboardInterrupt

    def on_row(self, row: CurveRow) -> None:
        """Report the evaluation under its progress in per cent, the same for trainings of any length."""
        progress = 100 * (self.evaluations * row.step // self.steps) // self.evaluations
        value = row.spearman_cosine
        if progress not in self.claim.known:
            self.claim.trial.report(value, progress)
            self.claim.note()
        if progress < 100 and self.claim.trial.should_prune():
            raise Pruned(f"pruned at {progress} % of the training with Spearman {value:.4f}")


def warmup_steps(config: Config, steps: int) -> int:
    """Return the steps over which the learning rate has to rise."""
    return math.ceil(config.trainer.warmup_ratio * steps)


def planned_rate(config: Config, step: int, steps: int) -> float:
    """Return the learning rate after a step: up to its peak over the warm-up, then down to 0, both in a line."""
    warmup, peak = warmup_steps(config, steps), config.trainer.learning_rate
    if step < warmup:
        return peak * step / warmup
    return peak * max(0, steps - step) / max(1, steps - warmup)
