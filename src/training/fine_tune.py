"""In-place fine-tuning of an encoder: the training run, its trainer arguments, and its intervals in steps."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from transformers import PrinterCallback

from src.config.training import DEFAULT_EVAL_EVERY_EPOCHS, TrainerConfig
from src.data import ExampleSet
from src.data.shapes import text_columns
from src.encoder.inputs import transformer_of
from src.encoder.prompts import prompt_for, unpooled_for
from src.evaluation.evaluate import Evaluation, PairLoss, evaluate_sets
from src.evaluation.metrics import leading_metric
from src.packing.attention import packed_attention
from src.packing.check import check_packing, texts_to_check
from src.packing.dropout import fast_dropout
from src.packing.tokens import tokenize
from src.training.callbacks import (
    CurveRow,
    EarlyStopping,
    EventCallback,
    TrainingCallback,
    check_similarities,
    curve_rows,
    dev_metric,
)
from src.training.checkpoints import delete_incomplete, last_checkpoint
from src.training.clock import TrainingClock
from src.training.embedding_subset import embedding_subset, used_tokens
from src.training.layers import frozen_embeddings, learning_rates
from src.training.losses import ExampleLoss
from src.training.precision import use_threads
from src.training.sampling import NO_DUPLICATES, keeps_texts_apart, steps_per_epoch
from src.training.support import supported
from src.training.trainer import ExampleTrainer, remove_autocast
from src.utils.processes import broadcast, world_size

BaseEvaluator = Callable[
    [SentenceTransformer, Mapping[str, Dataset], Mapping[str, PairLoss], TrainerConfig], Evaluation
]
"""Evaluation of an encoder before it is trained, as by `evaluate_sets`."""


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
    """Examples per second of training."""


def fine_tune(
    encoder: SentenceTransformer,
    data: ExampleSet,
    losses: dict[str, ExampleLoss],
    config: TrainerConfig,
    checkpoints: Path,
    callbacks: Sequence[TrainingCallback],
    clock: TrainingClock,
    evaluate_base: BaseEvaluator = evaluate_sets,
) -> Training:
    """Train the encoder in place, from the last complete checkpoint in `checkpoints` if any; return the outcome.

    The curve starts with the encoder as it is given, by `evaluate_base`. `clock` is paused during every evaluation.

    `losses` has the loss of each set of `data` by name, built on this encoder; `config.precision` must be fp32 or bf16,
    not auto.

    Raises `UserError` if a loss or the settings do not fit the examples or the encoder; `TrainingDiverged` if a loss, a
    weight or a metric is not finite.
    """
    config = supported(config, encoder, data, losses)
    dev = {name: each.dev for name, each in data.sets.items()}
    with clock.paused():
        before = evaluate_base(encoder, dev, dict(losses), config)
    check_similarities(before, "the base encoder")
    threads = use_threads(config.threads)
    with training_modules(encoder, data, config):
        trainer = ExampleTrainer(
            config,
            clock,
            data,
            losses,
            model=encoder,
            args=build_arguments(config, encoder, data, losses, checkpoints),
        )
        trainer.remove_callback(PrinterCallback)
        events = EventCallback(trainer.losses, callbacks, before)
        trainer.add_callback(events)
        if config.early_stopping_patience is not None:
            trainer.add_callback(EarlyStopping(config.early_stopping_patience))
        delete_incomplete(checkpoints)
        checkpoint = broadcast(lambda: last_checkpoint(checkpoints, with_best=config.keep == "best"))
        start = clock()
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        seconds = clock() - start
        remove_autocast(trainer, encoder)
    encoder.eval()
    return Training(
        curve=[CurveRow.at_start(before), *curve_rows(trainer.state.log_history, before)],
        before=before,
        steps=trainer.state.global_step,
        warmup_steps=trainer.args.get_warmup_steps(trainer.state.max_steps),
        precision=config.precision,
        threads=threads,
        started=events.started,
        train_seconds=seconds,
        evaluation_seconds=clock.evaluation_seconds,
        pairs_per_second=trainer.examples * world_size() / seconds,
    )


@contextmanager
def training_modules(encoder: SentenceTransformer, data: ExampleSet, config: TrainerConfig) -> Iterator[None]:
    """Replace modules of the encoder with faster ones and freeze others, as configured, for the duration of the block.

    Raises `UserError` if packed batches would change the embeddings, or the attention cannot be replaced.
    """
    packed, transformer = config.batching == "packed", transformer_of(encoder)
    tokenized = [tokenize(each.train, encoder) for each in data.sets.values()] if packed else []
    for examples in tokenized:
        for column in text_columns(examples.column_names):
            check_packing(encoder, texts_to_check(examples, column), unpooled_for(encoder, column))
    with ExitStack() as replaced:
        replaced.enter_context(frozen_embeddings(transformer, config.freeze_embeddings))
        replaced.enter_context(fast_dropout(encoder, config.fast_dropout))
        replaced.enter_context(packed_attention(encoder, packed))
        replaced.enter_context(embedding_subset(transformer, used_tokens(tokenized) if config.used_rows else None))
        yield


def total_steps(trainer: TrainerConfig, *sizes: int) -> int:
    """Return the number of optimizer steps of a training run on sets with these numbers of training examples."""
    if trainer.max_steps > 0:
        return trainer.max_steps
    return math.ceil(trainer.epochs * steps_per_epoch(trainer, sizes))


def eval_interval(trainer: TrainerConfig, *sizes: int) -> int:
    """Return the number of steps between evaluations for sets with these numbers of training examples."""
    if trainer.eval_steps is not None:
        return int(trainer.eval_steps)
    return math.ceil(steps_per_epoch(trainer, sizes) * (trainer.eval_every_epochs or DEFAULT_EVAL_EVERY_EPOCHS))


def save_interval(trainer: TrainerConfig, *sizes: int) -> int:
    """Return the number of steps between checkpoints for sets with these numbers of training examples."""
    if trainer.save_steps is not None:
        return int(trainer.save_steps)
    if trainer.save_every_epochs is not None:
        return math.ceil(steps_per_epoch(trainer, sizes) * trainer.save_every_epochs)
    return eval_interval(trainer, *sizes)


def build_arguments(
    trainer: TrainerConfig,
    encoder: SentenceTransformer,
    data: ExampleSet,
    losses: dict[str, ExampleLoss],
    folder: Path,
) -> SentenceTransformerTrainingArguments:
    """Return the arguments of sentence-transformers for a training run with checkpoints in `folder`."""
    sizes, shape = [len(each.train) for each in data.sets.values()], data.shape.name
    steps = eval_interval(trainer, *sizes)
    apart = any(keeps_texts_apart(trainer, loss.name) for loss in losses.values())
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=trainer.batch_size // world_size(),
        per_device_eval_batch_size=trainer.eval_batch_size,
        gradient_accumulation_steps=trainer.gradient_accumulation_steps,
        num_train_epochs=trainer.epochs,
        max_steps=trainer.max_steps,
        learning_rate=trainer.learning_rate,
        learning_rate_mapping=learning_rates(transformer_of(encoder), trainer),
        warmup_steps=trainer.warmup_ratio,
        weight_decay=trainer.weight_decay,
        max_grad_norm=trainer.max_grad_norm,
        lr_scheduler_type=trainer.lr_scheduler_type,
        optim="adamw_torch_fused",
        seed=trainer.seed,
        bf16=trainer.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="steps",
        eval_steps=steps,
        logging_strategy="steps",
        logging_steps=steps,
        save_strategy="steps" if trainer.checkpoints else "no",
        save_steps=save_interval(trainer, *sizes),
        load_best_model_at_end=trainer.keep == "best",
        metric_for_best_model=dev_metric(shape, leading_metric(shape).name),
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        report_to="none",
        prompts=padded_prompts(encoder, data),
        batch_sampler=NO_DUPLICATES if apart else "batch_sampler",
        multi_dataset_batch_sampler=trainer.multi_dataset_batch_sampler,
        disable_tqdm=True,
        dataloader_drop_last=world_size() > 1,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def padded_prompts(encoder: SentenceTransformer, data: ExampleSet) -> dict[str, str] | None:
    """Return the prompts that precede the texts of a padded batch, by column; None if there are none."""
    columns = {column for each in data.sets.values() for column in text_columns(each.train.column_names)}
    return {column: prompt for column in sorted(columns) if (prompt := prompt_for(encoder, column))} or None
