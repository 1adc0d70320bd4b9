"""Sampling of batches: which losses need batches without a repeated text, and how many batches an epoch has."""

import math
from collections.abc import Sequence

from src.config.training import AUTO, IN_BATCH_LOSSES, TrainerConfig

NO_DUPLICATES = "no_duplicates"


def keeps_texts_apart(config: TrainerConfig, loss: str) -> bool:
    """Return whether no text may occur twice in a batch for the loss of this name."""
    return config.batch_sampler == NO_DUPLICATES or (config.batch_sampler == AUTO and loss in IN_BATCH_LOSSES)


def steps_per_epoch(config: TrainerConfig, sizes: Sequence[int]) -> int:
    """Return the number of optimizer steps of an epoch on sets with these numbers of examples."""
    batches = [math.ceil(size / config.batch_size) for size in sizes]
    proportional = config.multi_dataset_batch_sampler == "proportional"
    count = sum(batches) if proportional else min(batches) * len(batches)
    return math.ceil(count / config.gradient_accumulation_steps)
