"""Evaluations of a base encoder before training, which several trainings of a process share."""

from typing import Any

from src.config.schema import settings_without
from src.evaluation.evaluate import Evaluation, evaluate_sets
from src.pipeline.state import Fingerprint
from src.training.fine_tune import BaseEvaluator

OF_STEPS = [
    *(f"trainer.{key}" for key in ("epochs", "max_steps", "learning_rate", "lr_scheduler_type", "warmup_ratio")),
    *(f"trainer.{key}" for key in ("layer_decay", "weight_decay", "max_grad_norm", "gradient_accumulation_steps")),
    *(f"trainer.{key}" for key in ("eval_steps", "eval_every_epochs", "save_steps", "save_every_epochs", "seed")),
]
"""Settings that the evaluation of the base encoder does not depend on."""


class BaseEvaluations:
    """Evaluations of a base encoder on dev, one for each set of examples and the settings that it depends on."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Fingerprint, Evaluation]] = {}
        """By digests of the examples, with the settings."""

    def evaluator(self, fingerprint: Fingerprint) -> BaseEvaluator:
        """Return `evaluate_sets` for the base encoder of a training, which returns the last evaluation if it can."""
        examples, decisive = fingerprint["pairs"], settings_without(fingerprint, OF_STEPS)

        def evaluate(*arguments: Any) -> Evaluation:
            known = self._last.get(examples)
            if known is None or known[0] != decisive:
                known = self._last[examples] = (decisive, evaluate_sets(*arguments))
            return known[1]

        return evaluate
