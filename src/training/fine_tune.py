"""In-place fine-tuning of an encoder: the training run, its trainer arguments, and its intervals in steps."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.base.modules import Router
from transformers import PrinterCallback

from src.config.training import DEFAULT_EVAL_EVERY_EPOCHS, TrainerConfig
from src.encoder.inputs import default_prompt, transformer_of
from src.evaluation.evaluate import Evaluation, PairLoss, evaluate, pair_evaluator
from src.evaluation.metrics import DEV, SPEARMAN
from src.training.attention import check_packing, packed_attention
from src.training.callbacks import CurveRow, EventCallback, TrainingCallback, check_similarities, curve_rows
from src.training.checkpoints import delete_incomplete, last_checkpoint
from src.training.clock import TrainingClock
from src.training.packing import tokenize
from src.training.precision import use_threads
from src.training.speedups import embedding_subset, fast_dropout, fused_qkv, used_tokens
from src.training.trainer import PairTrainer, remove_autocast
from src.utils.errors import UserError
from src.utils.processes import broadcast, world_size

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """Outcome of a training run: its curve, its length and its cost."""

    curve: list[CurveRow]
    """From step 0, the evaluation of the base encoder."""
    before: Evaluation
    """Evaluation of the base encoder on dev."""
    steps: int
    warmup_steps: int
    """Number of learning rate warmup steps."""
    precision: str
    """fp32 or bf16."""
    threads: int
    started: float
    """Unix time of the first step in seconds."""
    train_seconds: float
    """Wall time without evaluations. After a resume, this and the fields below cover only the resumed part."""
    evaluation_seconds: float
    """Wall time of the evaluations of the curve, from that of step 0 on, and of loading the best weights."""
    pairs_per_second: float


def fine_tune(
    encoder: SentenceTransformer,
    train: Dataset,
    dev: Dataset,
    loss: PairLoss,
    config: TrainerConfig,
    checkpoints: Path,
    callbacks: Sequence[TrainingCallback],
    clock: TrainingClock,
) -> Training:
    """Train the encoder in place, from the last complete checkpoint in `checkpoints` if any; return the outcome.

    The curve starts with the encoder as it is given. `clock` is paused during every evaluation.

    `config.precision` must be fp32 or bf16, not auto; `loss` one of `src.training.losses`, built on this encoder.

    Raises `UserError` if the encoder cannot be trained on packed batches; `TrainingDiverged` if a loss, a weight or a
    metric is not finite.
    """
    config = supported(config, encoder)
    with clock.paused():
        before = evaluate(encoder, dev, loss, config)
    check_similarities(before, "the base encoder")
    first, threads = CurveRow.at_start(before), use_threads(config.threads)
    with training_modules(encoder, train, config):
        trainer = PairTrainer(
            config,
            clock,
            model=encoder,
            args=build_arguments(config, len(train), checkpoints, default_prompt(encoder)),
            train_dataset=train,
            eval_dataset=dev,
            loss=loss,
            evaluator=pair_evaluator(dev, DEV, config.eval_batch_size),
        )
        trainer.remove_callback(PrinterCallback)
        events = EventCallback(trainer.losses, callbacks, first)
        trainer.add_callback(events)
        delete_incomplete(checkpoints)
        checkpoint = broadcast(lambda: last_checkpoint(checkpoints, with_best=config.keep == "best"))
        start = clock()
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        seconds = clock() - start
        remove_autocast(trainer, encoder)
    encoder.eval()
    steps = trainer.state.global_step
    return Training(
        curve=[first, *curve_rows(trainer.state.log_history)],
        before=before,
        steps=steps,
        warmup_steps=trainer.args.get_warmup_steps(steps),
        precision=config.precision,
        threads=threads,
        started=events.started,
        train_seconds=seconds,
        evaluation_seconds=clock.evaluation_seconds,
        pairs_per_second=(steps - events.first_step) * config.batch_size / seconds,
    )


def supported(config: TrainerConfig, encoder: SentenceTransformer) -> TrainerConfig:
    """Return the settings without the speed-ups that need a transformer with text as input, if the encoder has none.

    Raises `UserError` if the encoder has several routes for texts.
    """
    if any(isinstance(module, Router) for module in encoder):
        raise UserError(
            "expected an encoder with one way for all texts, found a Router, whose routes are trained with other kinds"
            " of data: set model.path to the folder of one of its routes, or choose another model."
        )
    if transformer_of(encoder) is not None or config.batching != "packed":
        return config
    log.info(f"  {type(encoder[0]).__name__} as the first module: batches of sentence-transformers, without speed-ups")
    return replace(config, batching="padded", used_rows=False, joint_projections=False, fast_dropout=False)


@contextmanager
def training_modules(encoder: SentenceTransformer, train: Dataset, config: TrainerConfig) -> Iterator[None]:
    """Replace modules of the encoder with faster ones, as configured, for the duration of the block.

    Raises `UserError` if packed batches would change the embeddings, or the attention cannot be replaced.
    """
    packed = config.batching == "packed"
    if packed:
        check_packing(encoder, tokenize(train, encoder))
    used = used_tokens(tokenize(train, encoder)) if config.used_rows else None
    with ExitStack() as replaced:
        replaced.enter_context(fast_dropout(encoder, config.fast_dropout))
        replaced.enter_context(packed_attention(encoder, packed))
        replaced.enter_context(fused_qkv(encoder, config.joint_projections))
        replaced.enter_context(embedding_subset(transformer_of(encoder), used))
        yield


def total_steps(trainer: TrainerConfig, pairs: int) -> int:
    """Return the number of optimizer steps of a training run on `pairs` pairs."""
    if trainer.max_steps > 0:
        return trainer.max_steps
    return math.ceil(trainer.epochs * math.ceil(pairs / trainer.batch_size))


def eval_interval(trainer: TrainerConfig, pairs: int) -> int:
    """Return the number of steps between evaluations for `pairs` training pairs."""
    if trainer.eval_steps is not None:
        return int(trainer.eval_steps)
    return _share_of_epoch(trainer, pairs, trainer.eval_every_epochs or DEFAULT_EVAL_EVERY_EPOCHS)


def save_interval(trainer: TrainerConfig, pairs: int) -> int:
    """Return the number of steps between checkpoints for `pairs` training pairs."""
    if trainer.save_steps is not None:
        return int(trainer.save_steps)
    if trainer.save_every_epochs is not None:
        return _share_of_epoch(trainer, pairs, trainer.save_every_epochs)
    return eval_interval(trainer, pairs)


def _share_of_epoch(trainer: TrainerConfig, pairs: int, share: float) -> int:
    return math.ceil(math.ceil(pairs / trainer.batch_size) * share)


def build_arguments(
    trainer: TrainerConfig, pairs: int, folder: Path, prompt: str = ""
) -> SentenceTransformerTrainingArguments:
    """Return the sentence-transformers arguments for `pairs` training pairs, with checkpoints in `folder`.

    `prompt` precedes every text of a padded batch; a packed one is tokenised with it.
    """
    steps = eval_interval(trainer, pairs)
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=trainer.batch_size // world_size(),
        per_device_eval_batch_size=trainer.eval_batch_size,
        num_train_epochs=trainer.epochs,
        max_steps=trainer.max_steps,
        learning_rate=trainer.learning_rate,
        warmup_steps=trainer.warmup_ratio,
        weight_decay=trainer.weight_decay,
        max_grad_norm=trainer.max_grad_norm,
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        seed=trainer.seed,
        bf16=trainer.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="steps",
        eval_steps=steps,
        logging_strategy="steps",
        logging_steps=steps,
        save_strategy="steps" if trainer.checkpoints else "no",
        save_steps=save_interval(trainer, pairs),
        load_best_model_at_end=trainer.keep == "best",
        metric_for_best_model=f"{DEV}_{SPEARMAN}",
        greater_is_better=True,
        report_to="none",
        prompts=prompt or None,
        disable_tqdm=True,
        dataloader_drop_last=world_size() > 1,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
