"""Result of the mean of several seeds' weights: one encoder, scored once like that of a single training."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sentence_transformers import SentenceTransformer

from src.config import Config
from src.data import ExampleSet
from src.data.sentences import trained_on
from src.encoder import base_of
from src.encoder.averaging import average_encoders
from src.evaluation.evaluate import Evaluation, evaluate_sets, paired_gain
from src.evaluation.result import Result
from src.evaluation.seeds import gain_over_seeds
from src.pipeline.losses import build_losses
from src.pipeline.seed_results import SeedResults
from src.pipeline.training import base_on_test, build_result, evaluate_reported, record_result
from src.report.card import describe_average, finalize_model_card, init_model_card
from src.tracking import Run
from src.training import CurveRow, Training
from src.training.checkpoints import CHECKPOINTS
from src.training.fine_tune import BaseEvaluator, build_arguments

log = logging.getLogger(__name__)


def average_seeds(
    config: Config,
    pairs: ExampleSet,
    trained: SeedResults,
    run: Run,
    untrained: SentenceTransformer,
    evaluator: BaseEvaluator,
) -> Result:
    """Write the encoder with the mean of the seeds' weights and its result into `config.folder`, record them in `run`.

    `untrained`: the base encoder, which `evaluator` evaluates, because the seeds' folders do not have its predictions.
    """
    log.info("\nMean of the weights of %d seeds", len(trained.seeds))
    before, on_test = evaluate_base(untrained, config, pairs, evaluator)
    encoder = average_models(trained.folders)
    losses, base = build_losses(encoder, config, pairs), base_of(config.model)
    init_model_card(encoder, config.name, pairs, base, config.selection)
    arguments = build_arguments(config.trainer, encoder, pairs, losses, Path(config.folder) / CHECKPOINTS)
    describe_average(encoder, pairs, {name: loss.module for name, loss in losses.items()}, trained.seeds, arguments)
    after = evaluate_reported(encoder, pairs, losses, config)
    training = summed_up(trained.results, trained.mean_curve(), before)
    finalize_model_card(encoder, training, pairs, after.metrics)
    gain = paired_gain(on_test or before, after, config.trainer.seed)
    result = build_result(config, pairs, base, training, after, gain, run.run_id)
    over_seeds = gain_over_seeds(result.metric, trained.predictions, after.predictions, config.trainer.seed)
    result = replace(
        result,
        startup_seconds=trained.first.startup_seconds,
        peak_memory_mb=max(result.peak_memory_mb, *(each.peak_memory_mb for each in trained.results)),
        seeds=replace(trained.summary(run.run_id), gain_over_seeds=over_seeds),
    )
    return record_result(run, encoder, config, pairs, result, training.curve, after, trained_on(pairs))


def evaluate_base(
    encoder: SentenceTransformer, config: Config, pairs: ExampleSet, evaluator: BaseEvaluator = evaluate_sets
) -> tuple[Evaluation, Evaluation | None]:
    """Return the evaluations of the base encoder on dev, and on test if there is one."""
    losses, dev = build_losses(encoder, config, pairs), {name: each.dev for name, each in pairs.sets.items()}
    before = evaluator(encoder, dev, dict(losses), config.trainer)
    return before, base_on_test(encoder, pairs, losses, config, evaluator)


def average_models(folders: Sequence[Path]) -> SentenceTransformer:
    """Return the encoder with the mean of the weights of the models in these results."""
    return average_encoders([folder / "model" for folder in folders], [1.0] * len(folders))


def summed_up(results: Sequence[Result], curve: pd.DataFrame, before: Evaluation) -> Training:
    """Return the trainings with these results as one, with one curve and the sums of their durations."""
    first, metrics = results[0], list(before.metrics)
    train, evaluation, speed = (
        np.array([getattr(result, name) for result in results])
        for name in ("train_seconds", "evaluation_seconds", "pairs_per_second")
    )
    rows = [
        CurveRow(
            row["epoch"],
            int(row["step"]),
            row["training_loss"],
            row["validation_loss"],
            {name: row[name] for name in metrics},
        )
        for _, row in curve.iterrows()
    ]
    return Training(
        curve=rows,
        before=before,
        steps=max(result.steps for result in results),
        warmup_steps=first.warmup_steps,
        precision=first.precision,
        threads=first.threads,
        started=time.time(),
        train_seconds=float(train.sum()),
        evaluation_seconds=float(evaluation.sum()),
        pairs_per_second=float(speed @ train / train.sum()),
    )
