"""From the trainer's configuration to the arguments of sentence-transformers."""

import math
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformerTrainingArguments

from src.config.training import TrainerConfig
from src.metrics.names import DEV, SPEARMAN
from src.processes import processes


def steps_between_evaluations(trainer: TrainerConfig, pairs: int) -> int:
    """Return the steps from one evaluation to the next for so many training pairs."""
    return _in_steps(trainer.eval_steps, trainer.batch_size, pairs)


def _in_steps(often: float, batch_size: int, pairs: int) -> int:
    """Return in steps what below 1 is a share of an epoch."""
    return int(often) if often >= 1 else math.ceil(math.ceil(pairs / batch_size) * often)


def build_arguments(
    trainer: TrainerConfig, precision: str, pairs: int, folder: Path
) -> SentenceTransformerTrainingArguments:
    """Return the arguments for `pairs` training pairs, with checkpoints in `folder`; `precision` is fp32 or bf16."""
    steps = steps_between_evaluations(trainer, pairs)
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=trainer.batch_size // processes(),
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
        bf16=precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="steps",
        eval_steps=steps,
        logging_strategy="steps",
        logging_steps=steps,
        save_strategy="steps" if trainer.checkpoints else "no",
        save_steps=_in_steps(trainer.save_steps or trainer.eval_steps, trainer.batch_size, pairs),
        load_best_model_at_end=trainer.keep == "best",
        metric_for_best_model=f"{DEV}_{SPEARMAN}",
        greater_is_better=True,
        report_to="none",
        disable_tqdm=True,
        dataloader_drop_last=processes() > 1,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
