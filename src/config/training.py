"""Settings of the loss and the trainer."""

import math
from dataclasses import dataclass, field

from src.utils.errors import UserError, require, require_fields

LOSS_NAMES = ("cosine_similarity", "cosent", "angle")
RANKING_LOSSES = ("cosent", "angle")
"""Losses that compare the pairs of a batch with each other; they are 0 for a single pair."""
PRECISIONS = ("auto", "fp32", "bf16")
BATCHINGS = ("packed", "padded")
EVALUATIONS = ("direct", "dataloader")
KEEPS = ("last", "best")
RESUMES = ("auto", "if_same", "never")
DEFAULT_EVAL_EVERY_EPOCHS = 0.25


@dataclass
class LossConfig:
    """The training objective on a batch of scored sentence pairs."""

    name: str = "cosine_similarity"

    def __post_init__(self) -> None:
        require(self.name in LOSS_NAMES, "loss.name", f"one of {list(LOSS_NAMES)}", self.name)


@dataclass
class TrainerConfig:
    """Settings of optimisation, evaluation, checkpoints and speed-ups."""

    batch_size: int = 16
    """Sentence pairs per step."""
    epochs: float = 1.0
    """Passes over the training pairs."""
    max_steps: int = -1
    """Stop after this many steps; -1: after `epochs`."""
    learning_rate: float = 5e-5
    """Peak of the linear schedule of AdamW."""
    warmup_ratio: float = 0.1
    """Share of all steps (0 to 1) in which the learning rate rises to its peak."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    max_grad_norm: float = 1.0
    """Norm to which larger gradients are clipped."""
    seed: int = 42
    """Seed of the order of the pairs, of dropout and of the bootstrap."""
    seeds: list[int] = field(default_factory=list)
    """Train once with each of these, in child runs of one parent run; empty: train once, with `seed`."""
    eval_every_epochs: float | None = None
    """Epochs from one evaluation to the next, such as 0.5; empty: 0.25, unless `eval_steps` is set."""
    eval_steps: float | None = None
    """Steps from one evaluation to the next, a whole number; in place of `eval_every_epochs`."""
    save_every_epochs: float | None = None
    """Epochs from one checkpoint to the next; empty: a checkpoint at each evaluation, unless `save_steps` is set."""
    save_steps: float | None = None
    """Steps from one checkpoint to the next, a whole number; in place of `save_every_epochs`."""
    eval_batch_size: int = 64
    """Sentences per forward pass of an evaluation."""
    batching: str = "packed"
    """packed: sentences of a batch concatenated, tokenised once, one forward pass; padded: as sentence-transformers."""
    used_rows: bool = True
    """Train only the embeddings of tokens in the pairs, with the same result; needs packed batches and no weight
    decay."""
    joint_projections: bool = True
    """Fused QKV: compute query, key and value of an attention layer in one matrix product."""
    fast_dropout: bool = True
    """Generate dropout masks from random bytes, with the rate rounded to 256ths."""
    evaluation: str = "direct"
    """direct: metrics and loss from a single encoding; dataloader: the library's own evaluation, a pass for each."""
    precision: str = "auto"
    """bf16, fp32, or auto: bf16 if this machine computes it faster."""
    threads: int = 0
    """CPU threads; 0: all cores of the process, or under torchrun its share of the cores of the machine."""
    keep: str = "last"
    """last: the weights after the last step, as on the published cards; best: those of the best dev Spearman."""
    checkpoints: bool = True
    """Keep the last two checkpoints, or the last and the best, to resume from after an interruption."""
    resume: str = "auto"
    """auto: resume an unfinished training, or fail if its settings differ; if_same: start anew if they differ;
    never: always start anew."""

    def __post_init__(self) -> None:
        checks = [
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("eval_batch_size", self.eval_batch_size >= 1, "at least 1"),
            ("epochs", 0 < self.epochs < math.inf, "above 0 and finite"),
            ("max_steps", self.max_steps == -1 or self.max_steps >= 1, "at least 1, or -1 for no limit"),
            ("learning_rate", 0 < self.learning_rate < 1, "above 0 and below 1"),
            ("warmup_ratio", 0 <= self.warmup_ratio < 1, "at least 0 and below 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "at least 0 and finite"),
            ("max_grad_norm", self.max_grad_norm > 0, "above 0"),
            ("seed", 0 <= self.seed < 2**32, "at least 0 and below 2**32"),
            ("seeds", _are_seeds(self.seeds), "empty, or at least two different numbers from 0 to 2**32 - 1"),
            ("batching", self.batching in BATCHINGS, f"one of {list(BATCHINGS)}"),
            ("batching", not self.used_rows or self.batching == "packed", "packed with trainer.used_rows"),
            ("weight_decay", not self.used_rows or self.weight_decay == 0, "0 with trainer.used_rows"),
            ("evaluation", self.evaluation in EVALUATIONS, f"one of {list(EVALUATIONS)}"),
            ("precision", self.precision in PRECISIONS, f"one of {list(PRECISIONS)}"),
            ("threads", self.threads >= 0, "at least 0"),
            ("keep", self.keep in KEEPS, f"one of {list(KEEPS)}"),
            ("resume", self.resume in RESUMES, f"one of {list(RESUMES)}"),
        ]
        require_fields(self, "trainer.", checks)
        _check_interval("eval", self.eval_steps, self.eval_every_epochs)
        _check_interval("save", self.save_steps, self.save_every_epochs)
        separate = self.save_steps is not None or self.save_every_epochs is not None
        require(not separate or self.keep == "last", "trainer.keep", "last with save_steps", self.keep)


def _are_seeds(seeds: list[int]) -> bool:
    return not seeds or (len(set(seeds)) == len(seeds) > 1 and all(0 <= seed < 2**32 for seed in seeds))


def _check_interval(name: str, steps: float | None, epochs: float | None) -> None:
    """Raise `UserError` if both intervals are set or one is invalid; steps must be a whole number."""
    key, other = f"trainer.{name}_steps", f"trainer.{name}_every_epochs"
    if steps is not None and 0 < steps < 1:
        raise UserError(
            f"{key} must be a whole number of steps, found {steps:g}: set {other}={steps:g} for a share of an epoch."
        )
    require(steps is None or (1 <= steps < math.inf and steps % 1 == 0), key, "a whole number of at least 1", steps)
    require(epochs is None or 0 < epochs < math.inf, other, "above 0 and finite", epochs)
    if steps is not None and epochs is not None:
        raise UserError(
            f"{key} and {other} must not both be set, found {steps:g} steps and {epochs:g} epochs: set one of them to"
            " null."
        )
