"""Fine-tuning an encoder on scored sentence pairs."""

import time
from contextlib import ExitStack
from dataclasses import dataclass

from datasets import Dataset
from sentence_transformers import SentenceTransformer
from transformers import PrinterCallback

from src.config.training import TrainerConfig
from src.processes import agreed, is_first
from src.training.agreement import check_packing
from src.training.arguments import build_arguments
from src.training.batches import tokenize
from src.training.checkpoints import Checkpoints
from src.training.curve import CurveCallback, CurveRow, Listener, curve_rows
from src.training.dropout import fast_dropout
from src.training.losses import PairLoss
from src.training.packing import packed_attention
from src.training.precision import choose_precision, use_threads
from src.training.projections import joint_projections
from src.training.trainer import PairTrainer, dev_evaluator
from src.training.vocabulary import used_rows, used_tokens


@dataclass(frozen=True)
class Training:
    """What a training took and how it went."""

    curve: list[CurveRow]
    steps: int
    warmup_steps: int
    """Steps over which the learning rate rose."""
    precision: str
    """fp32 or bf16."""
    threads: int
    started: float
    """Time of the first step in seconds since the epoch."""
    train_seconds: float
    """Wall time of the training without its evaluations; this and what follows since the start or, after an
    interruption, since the checkpoint that was gone on from."""
    evaluation_seconds: float
    pairs_per_second: float


def fine_tune(
    encoder: SentenceTransformer,
    train: Dataset,
    dev: Dataset,
    loss: PairLoss,
    config: TrainerConfig,
    checkpoints: Checkpoints,
    listeners: list[Listener],
) -> Training:
    """Train the encoder in place on `train`, evaluate it on `dev` as configured, from the last of the `checkpoints` on.

    `loss` is one of `src.training.losses` on this encoder.

    Raises:
        UserError: the encoder cannot be trained on packed batches.

    """
    threads, precision = use_threads(config.threads), agreed(choose_precision(config.precision))
    packed = config.batching == "packed"
    if packed:
        check_packing(encoder, tokenize(train, encoder))
    with ExitStack() as modes:
        modes.enter_context(fast_dropout(encoder, config.fast_dropout))
        modes.enter_context(packed_attention(encoder, packed))
        modes.enter_context(joint_projections(encoder, config.joint_projections))
        modes.enter_context(
            used_rows(encoder[0].model, used_tokens(tokenize(train, encoder)) if config.used_rows else None)
        )
        trainer = PairTrainer(
            config,
            model=encoder,
            args=build_arguments(config, precision, len(train), checkpoints.folder),
            train_dataset=train,
            eval_dataset=dev,
            loss=loss,
            evaluator=dev_evaluator(dev, config.eval_batch_size),
        )
        trainer.remove_callback(PrinterCallback)
        curve = CurveCallback(trainer.losses, listeners)
        trainer.add_callback(curve)
        checkpoint = agreed(checkpoints.last() if is_first() else None)
        start = time.perf_counter()
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        seconds = time.perf_counter() - start - trainer.evaluation_seconds
        # take autocast off again: the score is that of the weights as they are saved and used, in fp32
        trainer.accelerator.unwrap_model(encoder, keep_fp32_wrapper=False)
        vars(encoder).pop("_is_accelerate_prepared", None)  # with this mark another training would get no autocast
    encoder.eval()
    steps = trainer.state.global_step
    return Training(
        curve=curve_rows(trainer.state.log_history),
        steps=steps,
        warmup_steps=trainer.args.get_warmup_steps(steps),
        precision=precision,
        threads=threads,
        started=curve.started,
        train_seconds=seconds,
        evaluation_seconds=trainer.evaluation_seconds,
        pairs_per_second=(steps - curve.first_step) * config.batch_size / seconds,
    )
