"""One training run from pairs to result: the only module that combines encoder, training, evaluation and tracking."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
from sentence_transformers import SentenceTransformer

from src.config import Config
from src.data import ExampleSet
from src.data.examples import unordered_digest
from src.data.sentences import Digests, trained_on
from src.encoder import BaseModel, base_of
from src.evaluation.evaluate import Evaluation, estimate, estimates, evaluate_sets, paired_gain
from src.evaluation.metrics import as_labels, leading_metric
from src.evaluation.result import Result
from src.evaluation.statistics import Estimate, tie_ceiling
from src.pipeline.losses import build_losses, resolve_losses
from src.pipeline.promotion import promote_trained
from src.pipeline.recipe import recipe_of
from src.pipeline.state import plan_run, state_file
from src.report.card import finalize_model_card, init_model_card
from src.report.console import ProgressView, log_behind, log_pages, log_sources, log_summary
from src.report.files import artifacts, save_result
from src.report.sentence import describe_result
from src.tracking import RECIPE, Run, run_tags, start_run
from src.training import CurveRow, Training, TrainingCallback, TrainingClock, fine_tune
from src.training.callbacks import check_similarities
from src.training.checkpoints import CHECKPOINTS, delete_checkpoints, has_checkpoint
from src.training.fine_tune import BaseEvaluator
from src.training.losses import ExampleLoss
from src.training.precision import use_threads
from src.training.support import check_losses
from src.training.texts import check_texts
from src.utils.console import log_to_file
from src.utils.environment import device_name, peak_memory_mb
from src.utils.processes import broadcast

LOG_FILE = "train.log"
RESUME_ADVICE = "set trainer.resume=never to start anew, or restore them to resume"


def run_training(
    config: Config,
    pairs: ExampleSet,
    encoder: SentenceTransformer,
    callbacks: Sequence[TrainingCallback] = (),
    tags: dict[str, str] | None = None,
    evaluate_base: BaseEvaluator = evaluate_sets,
) -> Result:
    """Train this encoder in place on these examples and return the result.

    All output goes to `config.folder` and to a tracked run with these `tags`. `trainer.resume` decides whether
    an unfinished run in the folder is resumed. Under torchrun every process calls this function; the main process alone
    writes, prints and tracks.

    Raises `UserError` if the folder has an unfinished training run with other settings, or the encoder is unusable;
    `TrainingDiverged` if a loss, a weight or a metric is not finite.
    """
    config = resolve_losses(config, pairs)
    use_threads(config.trainer.threads)
    losses = build_losses(encoder, config, pairs)
    check_losses(pairs, losses)
    folder, base = Path(config.folder), base_of(config.model)
    store, checkpoints, clock = state_file(folder), folder / CHECKPOINTS, TrainingClock()
    with log_to_file(folder / LOG_FILE):
        log_sources(pairs, base)
        plan = broadcast(
            lambda: plan_run(config, pairs, store, config.trainer.resume, RESUME_ADVICE, has_checkpoint(checkpoints))
        )
        config = plan.config
        if plan.run_id is None:
            delete_checkpoints(checkpoints)
        with start_run(config, run_tags(config) | (tags or {}), plan.run_id) as run, ProgressView(clock) as view:
            log_behind(run.behind)
            store.save(plan.state(run.run_id))
            run.log_sources(pairs, base)
            run.set_tags({RECIPE: recipe_of(config, plan.fingerprint, pairs.shape)})
            init_model_card(encoder, config.name, pairs, base, config.selection)
            check_texts(encoder, pairs, config.trainer)
            before = base_on_test(encoder, pairs, losses, config, evaluate_base)
            training = fine_tune(
                encoder, pairs, losses, config.trainer, checkpoints, [view, run, *callbacks], clock, evaluate_base
            )
            after = evaluate_reported(encoder, pairs, losses, config)
            finalize_model_card(encoder, training, pairs, after.metrics)
            gain = paired_gain(before or training.before, after, config.trainer.seed)
            result = build_result(config, pairs, base, training, after, gain, run.run_id)
            result = record_result(run, encoder, config, pairs, result, training.curve, after, trained_on(pairs))
        store.save(plan.state(result.run_id, done=True))
        delete_checkpoints(checkpoints)
        log_summary(result, config, run.behind, promote_trained(config, result, run.behind))
        log_pages(run)
    return result


def evaluate_reported(
    encoder: SentenceTransformer, examples: ExampleSet, losses: dict[str, ExampleLoss], config: Config
) -> Evaluation:
    """Return the final evaluation: on the reported split, and of the other sets of a mixture on dev.

    Raises `TrainingDiverged` if a similarity is not finite.
    """
    splits = {examples.name: examples.reported, **{other.name: other.dev for other in examples.others}}
    evaluation = evaluate_sets(encoder, splits, losses, config.trainer)
    check_similarities(evaluation, config.name)
    return evaluation


def record_result(
    run: Run,
    encoder: SentenceTransformer,
    config: Config,
    examples: ExampleSet,
    result: Result,
    curve: list[CurveRow],
    evaluation: Evaluation,
    seen: Digests | None,
) -> Result:
    """Write encoder and result into `config.folder`, record both in the run, and return it with the model's version.

    `seen`: digests of the sentences that the encoder was trained on, None if they are not known.
    """
    folder = Path(config.folder)
    save_result(folder, encoder, config, result, curve, evaluation, seen)
    if version := run.log_model(folder / "model", result.steps, result.reported, examples):
        result = replace(result, model_version=version)
        result.save(folder)
    run.log_result(folder, artifacts(folder, result), result.to_dict())
    run.set_description(describe_result(result, examples))
    return result


def base_on_test(
    encoder: SentenceTransformer,
    examples: ExampleSet,
    losses: dict[str, ExampleLoss],
    config: Config,
    evaluate_base: BaseEvaluator,
) -> Evaluation | None:
    """Return the evaluation of the base encoder on test, None without test: that on dev is part of the training."""
    test, name = examples.test, examples.name
    return None if test is None else evaluate_base(encoder, {name: test}, {name: losses[name]}, config.trainer)


def build_result(
    config: Config,
    pairs: ExampleSet,
    base: BaseModel,
    training: Training,
    after: Evaluation,
    gain: Estimate,
    run_id: str,
) -> Result:
    """Return the result of a training run before its registration, with 95 % bootstrap intervals of the metrics."""
    seed = config.trainer.seed
    gold = as_labels(after.predictions["gold"].to_numpy()) if after.shape == "scored" else None
    return Result(
        experiment=config.name,
        run_id=run_id,
        model_version=None,
        data_source=pairs.source,
        data_note=pairs.provenance.note or "",
        train_pairs=len(pairs.train),
        dev_pairs=len(pairs.dev),
        evaluated_on="dev" if pairs.test is None else "test",
        evaluated_pairs=len(pairs.reported),
        spearman_ceiling=None if gold is None else tie_ceiling(gold),
        base_model=base.name,
        scores=estimates(after, seed),
        before=estimate(training.before, leading_metric(after.shape), seed),
        validation_loss=after.loss,
        steps=training.steps,
        warmup_steps=training.warmup_steps,
        precision=training.precision,
        threads=training.threads,
        device=device_name(),
        startup_seconds=max(0.0, training.started - psutil.Process().create_time()),  # the clock may run backwards
        train_seconds=training.train_seconds,
        evaluation_seconds=training.evaluation_seconds,
        pairs_per_second=training.pairs_per_second,
        peak_memory_mb=peak_memory_mb(),
        gain=gain,
        shape=after.shape,
        evaluated_digest=unordered_digest(pairs.reported),
    )
