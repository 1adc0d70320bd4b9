"""Evaluations of a base encoder before training, which several trainings of a process share."""

from collections.abc import Mapping

from datasets import Dataset
from sentence_transformers import SentenceTransformer

from src.config.schema import settings_without
from src.config.training import TrainerConfig
from src.data import digest
from src.evaluation.evaluate import Evaluation, PairLoss, evaluate_sets
from src.pipeline.state import Fingerprint
from src.training.fine_tune import BaseEvaluator

OF_STEPS = [
    *(f"trainer.{key}" for key in ("epochs", "max_steps", "learning_rate", "lr_scheduler_type", "warmup_ratio")),
    *(f"trainer.{key}" for key in ("layer_decay", "weight_decay", "max_grad_norm", "gradient_accumulation_steps")),
    *(f"trainer.{key}" for key in ("eval_steps", "eval_every_epochs", "save_steps", "save_every_epochs")),
    *(f"trainer.{key}" for key in ("seed", "seeds", "seeds_result")),
]
"""Settings that the evaluation of the base encoder does not depend on."""


class BaseEvaluations:
    """Evaluations of a base encoder, one for each split or splits, with the settings that it depends on."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, ...], tuple[Fingerprint, Evaluation]] = {}
        """By digests of the splits."""

    def evaluator(self, fingerprint: Fingerprint) -> BaseEvaluator:
        """Return `evaluate_sets` for the base encoder of a training, which returns the last evaluation if it can."""
        decisive = settings_without(fingerprint, OF_STEPS)

        def evaluate(
            encoder: SentenceTransformer,
            splits: Mapping[str, Dataset],
            losses: Mapping[str, PairLoss],
            config: TrainerConfig,
        ) -> Evaluation:
            key = tuple(digest(split) for split in splits.values())
            known = self._last.get(key)
            if known is None or known[0] != decisive:
                known = self._last[key] = (decisive, evaluate_sets(encoder, splits, losses, config))
            return known[1]

        return evaluate
