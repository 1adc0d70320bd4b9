"""Training with several seeds: a child run for each, and one result of all, of the first or of their mean weights."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

from sentence_transformers import SentenceTransformer

from src.config import Config
from src.config.model import HubEncoder
from src.config.words import describe
from src.data import ExampleSet
from src.data.sentences import FILE as SENTENCES
from src.encoder import base_of, copy_encoder, load_encoder
from src.encoder.hub import load_hub
from src.evaluation.names import headline, label_of, rows_of
from src.evaluation.result import RESULT_FILE, RUN_FILES, Result
from src.evaluation.statistics import ENDS
from src.pipeline.average import average_seeds
from src.pipeline.base import BaseEvaluations
from src.pipeline.losses import resolve_losses
from src.pipeline.promotion import promote_trained
from src.pipeline.recipe import recipe_of
from src.pipeline.seed_results import CURVES, SEEDS, TABLE, SeedResults
from src.pipeline.state import (
    SEEDS_RESULT,
    STATE_FILE,
    fingerprint_of,
    load_completed,
    plan_run,
    state_file,
)
from src.pipeline.training import LOG_FILE, RESUME_ADVICE, run_training
from src.report.console import log_behind, log_pages
from src.report.files import artifacts, remove_former_reports
from src.report.sentence import describe_result, signed
from src.tracking import PARENT, RECIPE, Run, known_run, run_tags, start_run
from src.tracking.views import RECIPES
from src.training.checkpoints import CHECKPOINTS, has_checkpoint
from src.training.precision import use_threads
from src.utils.console import BOLD, log_table, log_to_file, relative_to_cwd
from src.utils.errors import UserError, shorten
from src.utils.files import remove, set_aside, size_of
from src.utils.processes import process_group
from src.utils.staging import staged

log = logging.getLogger(__name__)


def run_experiment(config: Config, pairs: ExampleSet) -> Result:
    """Train as configured, once or with each of `trainer.seeds`, and return the result."""
    config = resolve_losses(config, pairs)  # before the encoder is loaded
    with process_group():
        encoder = load_encoder(config.model)
        return (run_seeds if config.trainer.seeds else run_training)(config, pairs, encoder)


def run_seeds(config: Config, pairs: ExampleSet, untrained: SentenceTransformer) -> Result:
    """Train copies of an encoder with each of `trainer.seeds` in seeds/SEED; return one result with a summary of all.

    It is that of the first seed, because the score of the best one would be biased upwards, or of the mean of all
    seeds' weights. After an interruption, and where only `trainer.seeds_result` is another, finished seeds are not
    trained again.

    Raises `UserError` if the folder contains unfinished seeds with other settings.
    """
    folder, averages = Path(config.folder), config.trainer.seeds_result == "average"
    use_threads(config.trainer.threads)
    store, begun = state_file(folder / SEEDS), has_begun(folder / SEEDS)
    plan = plan_run(config, pairs, store, config.trainer.resume, RESUME_ADVICE, begun, of_whole=[SEEDS_RESULT])
    config = plan.config
    with log_to_file(folder / LOG_FILE):
        if not plan.keeps_parts:
            delete_seed_results(folder / SEEDS)
        with start_run(config, run_tags(config) | {"role": "seeds"}, known_run(config, plan.run_id)) as parent:
            store.save(plan.state(parent.run_id))
            parent.log_sources(pairs, base_of(config.model))
            if averages:
                parent.set_tags({RECIPE: recipe_of(config, plan.fingerprint, pairs.shape)})
            base = BaseEvaluations()
            for number, seed in enumerate(config.trainer.seeds, start=1):
                log.info("\nSeed %d, %d of %d", seed, number, len(config.trainer.seeds), extra=BOLD)
                train_seed(seed_config(config, seed), pairs, parent, untrained, base)
            trained = SeedResults.load(folder, config.trainer.seeds)
            if averages:
                evaluator = base.evaluator(plan.fingerprint)
                result = average_seeds(config, pairs, trained, parent, untrained, evaluator)
            else:
                result = keep_first(config, pairs, trained, parent)
            trained.write(folder, result)
            parent.log_files(folder, [TABLE, CURVES])
        store.save(plan.state(parent.run_id, done=True))
        log_behind(parent.behind)
        log_summary(config, result, trained, promote_trained(config, result, parent.behind))
        log_pages(parent, RECIPES)
    return result


def has_begun(folder: Path) -> bool:
    """Return whether a seed has a checkpoint or a result."""
    return any(has_checkpoint(seed / CHECKPOINTS) or (seed / RESULT_FILE).is_file() for seed in folder.glob("*/"))


def delete_seed_results(folder: Path) -> None:
    """Delete the results of earlier seeds; keep the journals of their runs."""
    for seed in folder.glob("*/"):
        for name in (CHECKPOINTS, "model", "plots", STATE_FILE, LOG_FILE, *RUN_FILES):
            remove(seed / name)


def seed_config(config: Config, seed: int) -> Config:
    """Return the settings of the training with one seed, whose model is registered if it is that of the result."""
    first = config.trainer.seeds_result == "first" and seed == config.trainer.seeds[0]
    name = describe({"trainer.seed": seed})
    return replace(
        config,
        folder=str(Path(config.folder) / SEEDS / str(seed)),
        trainer=replace(config.trainer, seed=seed, seeds=[], seeds_result="first", resume="auto"),
        tracking=replace(config.tracking, register=config.tracking.register and first, champion="off", run_name=name),
    )


def train_seed(
    config: Config, pairs: ExampleSet, parent: Run, untrained: SentenceTransformer, base: BaseEvaluations
) -> None:
    """Train a copy of the encoder with one seed as a child run of `parent`, unless its training is complete already."""
    fingerprint = fingerprint_of(config, pairs)
    result = load_completed(Path(config.folder), fingerprint)
    if result and has_usable_model(Path(config.folder)):
        log.info("already trained")
        adopt(config, pairs, result, parent)
        return
    tags = {"role": "seed", PARENT: parent.run_id}
    evaluate_base = base.evaluator(fingerprint)
    run_training(config, pairs, copy_encoder(untrained), tags=tags, evaluate_base=evaluate_base)


def has_usable_model(folder: Path) -> bool:
    """Return whether the model of a finished training can be loaded; a damaged one is named and set aside."""
    path = folder / "model"
    try:
        load_hub(HubEncoder(path=str(path)))
    except UserError as error:
        aside = set_aside(path) if path.exists() else "missing"
        log.warning("%s is damaged (%s): it is now %s, and this seed is trained again", path, shorten(error), aside)
        return False
    return True


def adopt(config: Config, pairs: ExampleSet, result: Result, parent: Run) -> None:
    """Make the run of a finished training a child of `parent`, and register its model if that was not wanted before.

    Both may be necessary if only `trainer.seeds_result` differs from that of a former parent.
    """
    folder, wanted = Path(config.folder), config.tracking.register and config.tracking.models
    if not (known := known_run(config, result.run_id)):
        return
    with start_run(config, {}, known) as run:
        run.set_tags({PARENT: parent.run_id})
        if not wanted or result.model_version:
            return
        if version := run.log_model(folder / "model", result.steps, result.reported, pairs):
            replace(result, model_version=version).save(folder)
            run.log_files(folder, [RESULT_FILE])


def keep_first(config: Config, pairs: ExampleSet, trained: SeedResults, parent: Run) -> Result:
    """Copy the first seed's result to `config.folder`, record it in the parent run, and return it with a summary.

    The metrics of the parent run are the means over the seeds.
    """
    folder = Path(config.folder)
    result = replace(trained.first, seeds=trained.summary(parent.run_id))
    assert result.seeds
    with staged(folder, size_of(trained.folders[0] / "model")) as staging:
        shutil.copytree(trained.folders[0] / "model", staging / "model")
        for name in artifacts(trained.folders[0], result):
            (staging / name).parent.mkdir(exist_ok=True)
            shutil.copy(trained.folders[0] / name, staging / name)
        result.save(staging)
    remove_former_reports(folder, keeps_sentences=(trained.folders[0] / SENTENCES).is_file())
    values = result.to_dict()
    for name, mean in result.seeds.means.items():
        for end in ENDS:  # of the first seed, where the mean has no interval
            values.pop(f"{name}{end}", None)
        values |= mean.to_dict(name)
    parent.log_result(folder, artifacts(folder, result), values)
    parent.set_description(describe_result(result, pairs))
    return result


def log_summary(config: Config, result: Result, trained: SeedResults, champion: dict[str, str]) -> None:
    """Log the mean and spread of the seeds, and the locations of their models, and the row about the champion."""
    summary, folder = result.seeds, relative_to_cwd(Path(config.folder))
    assert summary
    values = [each.leading.value for each in trained.results]
    each = ", ".join(f"{seed}: {value:.4f}" for seed, value in zip(trained.seeds, values, strict=True))
    rows = f" over {rows_of(result.metric)} and seeds"
    spreads = {
        f"{label_of(name)} ({'dev' if '/' in name else result.evaluated_on})": f"mean {summary.means[name]}"
        f"{'' if '/' in name else rows}, deviation {summary.deviations[name]:.4f}"
        for name in headline(summary.means)
    }
    model = f"of seed {trained.seeds[0]}; the others"
    if summary.gain_over_seeds and result.gain:
        model = "the mean of their weights"
        model += f", registered as models:/{config.name}/{result.model_version}" if result.model_version else ""
        model += "; those of the seeds"
        gains = f"{signed(summary.gain_over_seeds)} over their mean, {signed(result.gain)} over the base encoder"
        spreads["mean of their weights"] = f"{result.metric.label} {result.leading}; {gains}"
    log_table(
        f"{result.experiment}: {len(values)} seeds, run {summary.parent_run_id}",
        {"seeds": each, **spreads, "model": f"{folder}/model, {model} in {folder}/{SEEDS}", **champion},
    )
