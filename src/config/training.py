"""Settings of the loss and the trainer."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from src.utils.errors import UserError, require, require_fields

AUTO = "auto"
"""The default loss of the shape of the examples."""
IN_BATCH_LOSSES = ("mnrl",)
"""Losses that take the other examples of a batch as negatives: no text may occur twice in it."""
RANKING_LOSSES = ("cosent", "angle", "online_contrastive", *IN_BATCH_LOSSES)
"""Losses that compare the examples of a batch with each other; a single one has nothing to learn."""
LOSS_NAMES = (AUTO, "cosine_similarity", *RANKING_LOSSES, "triplet")
LOSS_OPTIONS = {
    "scale": ("mnrl", "cosent", "angle"),
    "symmetric": ("mnrl",),
    "margin": ("triplet", "online_contrastive"),
}
"""Settings of some losses only, with the losses that have them."""
BATCH_SAMPLERS = (AUTO, "batch_sampler", "no_duplicates")
MULTI_DATASET_BATCH_SAMPLERS = ("proportional", "round_robin")
LR_SCHEDULER_TYPES = ("linear", "cosine", "constant_with_warmup")
PRECISIONS = ("auto", "fp32", "bf16")
BATCHINGS = ("packed", "padded")
EVALUATIONS = ("direct", "dataloader")
KEEPS = ("last", "best")
SEEDS_RESULTS = ("first", "average")
RESUMES = ("auto", "if_same", "never")
DEFAULT_EVAL_EVERY_EPOCHS = 0.25


@dataclass
class LossConfig:
    """The training objective on a batch of examples."""

    name: str = AUTO
    """One that fits the shape of the examples; auto: their default."""
    scale: float = 20.0
    """Factor of the similarities in mnrl, cosent and angle: the inverse of a temperature."""
    symmetric: bool = False
    """mnrl: find the anchor of each positive too, not only the positive of each anchor."""
    margin: float = 0.5
    """Cosine distance by which triplet and online_contrastive keep negatives apart."""
    matryoshka_dims: list[int] = field(default_factory=list)
    """Numbers of dimensions, such as [384, 256, 128, 64], at which the loss is computed, besides the model's own."""

    def __post_init__(self) -> None:
        dims = self.matryoshka_dims
        checks = [
            ("name", self.name in LOSS_NAMES, f"one of {list(LOSS_NAMES)}"),
            ("scale", 0 < self.scale < math.inf, "above 0 and finite"),
            ("margin", 0 < self.margin <= 2, "above 0 and at most 2, the largest cosine distance"),
            ("matryoshka_dims", len(set(dims)) == len(dims) and min(dims, default=1) > 0, "different numbers above 0"),
            *(
                (option, self._fits(option), f"{getattr(LossConfig, option)} unless loss is one of {list(losses)}")
                for option, losses in LOSS_OPTIONS.items()
            ),
        ]
        require_fields(self, "loss.", checks)

    def settings_for(self, name: str) -> dict[str, Any]:
        """Return the settings that a loss of this name has too."""
        return {key: value for key, value in asdict(self).items() if name in (AUTO, *LOSS_OPTIONS.get(key, LOSS_NAMES))}

    def _fits(self, option: str) -> bool:
        """Return whether an option has its default value, or the loss has this option."""
        default = getattr(self, option) == getattr(LossConfig, option)
        return default or self.name in (AUTO, *LOSS_OPTIONS[option])


@dataclass
class TrainerConfig:
    """Settings of optimisation, evaluation, checkpoints and speed-ups."""

    batch_size: int = 16
    """Examples per forward pass, all of one set."""
    gradient_accumulation_steps: int = 1
    """Forward passes per step of the optimizer; wherever steps are counted, those of the optimizer are meant."""
    epochs: float = 1.0
    """Passes over the training examples."""
    max_steps: int = -1
    """Stop after this many steps; -1: after `epochs`."""
    batch_sampler: str = AUTO
    """no_duplicates: no text twice in a batch; batch_sampler: any examples; auto: no_duplicates for the losses that
    take the other examples of a batch as negatives."""
    multi_dataset_batch_sampler: str = "proportional"
    """Batches of a mixture. proportional: all examples of each set; round_robin: one of each set in turn, until the
    smallest set ends."""
    learning_rate: float = 5e-5
    """Peak of the schedule of AdamW."""
    lr_scheduler_type: str = "linear"
    """Course of the learning rate after its warmup. linear: down to 0; cosine: down to 0 along half a cosine;
    constant_with_warmup: constant."""
    warmup_ratio: float = 0.1
    """Share of all steps (0 to 1) in which the learning rate rises to its peak."""
    layer_decay: float = 1.0
    """Factor (above 0, at most 1) of the learning rate from each layer of the transformer to the one below it; the
    embeddings count as the lowest layer. 1: one learning rate for all."""
    freeze_embeddings: bool = False
    """Leave the embeddings below the first layer as they are."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    max_grad_norm: float = 1.0
    """Norm to which larger gradients are clipped."""
    seed: int = 42
    """Seed of the order of the examples, of dropout and of the bootstrap."""
    seeds: list[int] = field(default_factory=list)
    """Train once with each of these, in child runs of one parent run; empty: train once, with `seed`."""
    seeds_result: str = "first"
    """Result of several seeds. first: that of the first one; average: the mean of the weights of all, scored once."""
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
    """Train only the embeddings of tokens in the examples, with the same result; needs packed batches and no weight
    decay."""
    fast_dropout: bool = True
    """Generate dropout masks from random bytes, with the rate rounded to 256ths."""
    evaluation: str = "direct"
    """direct: metrics and loss from a single encoding; dataloader: the library's own evaluation, a pass for each."""
    precision: str = "auto"
    """bf16, fp32, or auto: bf16 if this machine computes it faster."""
    threads: int = 0
    """CPU threads; 0: all cores of the process, or under torchrun its share of the cores of the machine."""
    keep: str = "last"
    """last: the weights after the last step, as on the published cards; best: those of the best evaluation by the
    leading metric of the examples."""
    early_stopping_patience: int | None = None
    """Stop after this many evaluations in a row without a better leading metric; empty: train to the end."""
    checkpoints: bool = True
    """Keep the last two checkpoints, or the last and the best, to resume from after an interruption."""
    evaluate_suite: bool = False
    """Evaluate the result on the suite korean_sts against its base encoder, as `python -m src.evaluate` does."""
    resume: str = "auto"
    """auto: resume an unfinished training, or fail if its settings differ; if_same: start anew if they differ;
    never: always start anew."""

    def __post_init__(self) -> None:
        patience, samplers = self.early_stopping_patience, MULTI_DATASET_BATCH_SAMPLERS
        averages = self.seeds_result == "average"
        checks = [
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("eval_batch_size", self.eval_batch_size >= 1, "at least 1"),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps >= 1, "at least 1"),
            ("epochs", 0 < self.epochs < math.inf, "above 0 and finite"),
            ("max_steps", self.max_steps == -1 or self.max_steps >= 1, "at least 1, or -1 for no limit"),
            ("learning_rate", 0 < self.learning_rate < 1, "above 0 and below 1"),
            ("lr_scheduler_type", self.lr_scheduler_type in LR_SCHEDULER_TYPES, f"one of {list(LR_SCHEDULER_TYPES)}"),
            ("warmup_ratio", 0 <= self.warmup_ratio < 1, "at least 0 and below 1"),
            ("layer_decay", 0 < self.layer_decay <= 1, "above 0 and at most 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "at least 0 and finite"),
            ("max_grad_norm", self.max_grad_norm > 0, "above 0"),
            ("seed", 0 <= self.seed < 2**32, "at least 0 and below 2**32"),
            ("seeds", _are_seeds(self.seeds), "empty, or at least two different numbers from 0 to 2**32 - 1"),
            ("seeds_result", self.seeds_result in SEEDS_RESULTS, f"one of {list(SEEDS_RESULTS)}"),
            (
                "seeds_result",
                not averages or self.seeds != [],
                "first without several trainer.seeds, such as [42,43,44]",
            ),
            ("batch_sampler", self.batch_sampler in BATCH_SAMPLERS, f"one of {list(BATCH_SAMPLERS)}"),
            ("multi_dataset_batch_sampler", self.multi_dataset_batch_sampler in samplers, f"one of {list(samplers)}"),
            ("batching", self.batching in BATCHINGS, f"one of {list(BATCHINGS)}"),
            ("batching", not self.used_rows or self.batching == "packed", "packed with trainer.used_rows"),
            ("weight_decay", not self.used_rows or self.weight_decay == 0, "0 with trainer.used_rows"),
            ("evaluation", self.evaluation in EVALUATIONS, f"one of {list(EVALUATIONS)}"),
            ("precision", self.precision in PRECISIONS, f"one of {list(PRECISIONS)}"),
            ("threads", self.threads >= 0, "at least 0"),
            ("keep", self.keep in KEEPS, f"one of {list(KEEPS)}"),
            ("keep", self.keep == "last" or self.checkpoints, "last without trainer.checkpoints"),
            ("early_stopping_patience", patience is None or patience >= 1, "at least 1, or empty"),
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
