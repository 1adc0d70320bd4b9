"""Sampling of batches: which losses need batches without a repeated text, and how many batches an epoch has."""

import logging
import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler

from src.config.training import AUTO, IN_BATCH_LOSSES, TrainerConfig
from src.data.text_codes import TextCodes
from src.utils.processes import world_size

log = logging.getLogger(__name__)

NO_DUPLICATES = "no_duplicates"


def keeps_texts_apart(config: TrainerConfig, loss: str) -> bool:
    """Return whether no text may occur twice in a batch for the loss of this name."""
    return config.batch_sampler == NO_DUPLICATES or (config.batch_sampler == AUTO and loss in IN_BATCH_LOSSES)


def note_left_out(rows: TextCodes, sampler: Any, name: str) -> None:
    """Log a warning if texts are repeated so often that batches without a repeated text leave examples out of an epoch.

    The library then draws smaller batches, but not more of them.
    """
    own = {"drop_last": sampler.drop_last, "generator": torch.Generator(), "seed": sampler.seed}
    batches = islice(NoDuplicatesBatchSampler(rows, sampler.batch_size, **own), len(sampler))
    if left := len(rows) - sum(map(len, batches)) - len(rows) % sampler.batch_size * sampler.drop_last:
        log.warning(
            f"  note: {left:,} of {len(rows):,} examples ({name}) are left out of an epoch, since no text may occur"
            " twice in a batch and texts are repeated often: lower trainer.batch_size, or set"
            " trainer.batch_sampler=batch_sampler"
        )


def steps_per_epoch(config: TrainerConfig, sizes: Sequence[int]) -> int:
    """Return the number of optimizer steps of an epoch on sets with these numbers of examples.

    Several processes take their shares of each set in turn, and drop incomplete ones.
    """
    processes = world_size()
    share = config.batch_size // processes
    batches = [size // share if processes > 1 else math.ceil(size / share) for size in sizes]
    proportional = config.multi_dataset_batch_sampler == "proportional"
    count = sum(batches) if proportional else min(batches) * len(batches)
    return math.ceil(count // processes / config.gradient_accumulation_steps)
