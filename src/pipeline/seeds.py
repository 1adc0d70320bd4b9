"""Training with several seeds: a child run for each, and mean, deviation and interval of their metrics."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from src.config import Config
from src.config.words import describe
from src.data import ExampleSet
from src.encoder import base_of, load_encoder
from src.evaluation.metrics import VALIDATION_LOSS, Metric, metrics_of
from src.evaluation.names import by_dimension, headline, label_of, rows_of
from src.evaluation.result import RUN_FILES, Result, SeedSummary
from src.evaluation.seeds import seed_scores
from src.evaluation.statistics import UNKNOWN, Estimate
from src.pipeline.losses import resolve_losses
from src.pipeline.promotion import promote_trained
from src.pipeline.state import STATE_FILE, fingerprint_of, load_completed, plan_run, state_file
from src.pipeline.training import LOG_FILE, RESUME_ADVICE, run_training
from src.report.console import log_pages
from src.report.figures import finish_axes, new_figure, save_figure
from src.report.files import artifacts
from src.report.sentence import describe_result
from src.tracking import PARENT, Run, known_run, run_tags, start_run
from src.tracking.views import RECIPES
from src.training.checkpoints import CHECKPOINTS
from src.utils.console import BOLD, log_table, log_to_file, relative_to_cwd
from src.utils.files import atomic_write, remove, size_of
from src.utils.processes import process_group
from src.utils.staging import staged

SEEDS = "seeds"
"""Subfolder of the result folder, with one result for each seed."""
TABLE, CURVES = f"{SEEDS}/seeds.csv", f"{SEEDS}/curves.png"
log = logging.getLogger(__name__)


def run_experiment(config: Config, pairs: ExampleSet) -> Result:
    """Train as configured, once or with each of `trainer.seeds`, and return the result."""
    config = resolve_losses(config, pairs)  # before the encoder is loaded
    with process_group():
        if config.trainer.seeds:
            return run_seeds(config, pairs)
        return run_training(config, pairs, load_encoder(config.model))


def run_seeds(config: Config, pairs: ExampleSet) -> Result:
    """Train with each of `trainer.seeds` in seeds/SEED and return the first seed's result with a summary of all.

    The result of the first seed is copied to `config.folder`; the score of the best one would be biased upwards. After
    an interruption, finished seeds are not trained again.

    Raises `UserError` if the folder contains unfinished seeds with other settings.
    """
    folder = Path(config.folder)
    store = state_file(folder / SEEDS)
    plan = plan_run(config, pairs, store, config.trainer.resume, RESUME_ADVICE)
    config = plan.config
    with log_to_file(folder / LOG_FILE):
        if plan.run_id is None:
            delete_seed_results(folder / SEEDS)
        with start_run(config, run_tags(config) | {"role": "seeds"}, known_run(config, plan.run_id)) as parent:
            store.save(plan.state(parent.run_id))
            parent.log_sources(pairs, base_of(config.model))
            for number, seed in enumerate(config.trainer.seeds, start=1):
                log.info("\nSeed %d, %d of %d", seed, number, len(config.trainer.seeds), extra=BOLD)
                train_seed(seed_config(config, seed), pairs, parent)
            result = collect_seeds(config, parent.run_id)
            log_seeds(parent, config, result)
            parent.set_description(describe_result(result, pairs))
        store.save(plan.state(parent.run_id, done=True))
        log_summary(config, result, promote_trained(config, result, parent.behind))
        log_pages(parent, RECIPES)
    return result


def delete_seed_results(folder: Path) -> None:
    """Delete the results of earlier seeds; keep the journals of their runs."""
    for seed in folder.glob("*/"):
        for name in (CHECKPOINTS, "model", "plots", STATE_FILE, LOG_FILE, *RUN_FILES):
            remove(seed / name)


def seed_config(config: Config, seed: int) -> Config:
    """Return the settings of the training with one seed; only the first seed's model is registered."""
    registered = config.tracking.register and seed == config.trainer.seeds[0]
    name = describe({"trainer.seed": seed})
    return replace(
        config,
        folder=str(Path(config.folder) / SEEDS / str(seed)),
        trainer=replace(config.trainer, seed=seed, seeds=[], resume="auto"),
        tracking=replace(config.tracking, register=registered, champion="off", run_name=name),
    )


def train_seed(config: Config, pairs: ExampleSet, parent: Run) -> None:
    """Train with one seed as a child run of `parent`, unless its training is complete already."""
    if load_completed(Path(config.folder), fingerprint_of(config, pairs)):
        log.info("already trained")
        return
    tags = {"role": "seed", PARENT: parent.run_id}
    run_training(config, pairs, load_encoder(config.model), tags=tags)


def collect_seeds(config: Config, parent_run: str) -> Result:
    """Copy the first seed's result to `config.folder`, add a summary of all seeds, and return it."""
    folder, seeds = Path(config.folder), config.trainer.seeds
    folders = [folder / SEEDS / str(seed) for seed in seeds]
    results = [Result.load(each) for each in folders]
    with atomic_write(folder / TABLE) as temporary:
        rows = [result.to_dict() for result in results]
        columns = ["run_id", *results[0].scores, VALIDATION_LOSS, "train_seconds"]
        pd.DataFrame(rows, index=pd.Index(seeds, name="seed"))[columns].to_csv(temporary)
    curves = {seed: pd.read_csv(each / "curve.csv") for seed, each in zip(seeds, folders, strict=True)}
    plot_curves(curves, results[0].metric, folder)
    predictions = [pd.read_parquet(each / "predictions.parquet") for each in folders]
    result = replace(results[0], seeds=summarise(results, predictions, seeds, parent_run))
    with staged(folder, size_of(folders[0] / "model")) as staging:
        shutil.copytree(folders[0] / "model", staging / "model")
        for name in artifacts(results[0]):
            (staging / name).parent.mkdir(exist_ok=True)
            shutil.copy(folders[0] / name, staging / name)
        result.save(staging)
    return result


def summarise(results: list[Result], predictions: list[pd.DataFrame], seeds: list[int], parent_run: str) -> SeedSummary:
    """Return mean, deviation and interval of each metric, from the results and predictions of every seed.

    Those of other sets of a mixture, whose predictions are not kept, have no interval.
    """
    values = {name: [result.scores[name].value for result in results] for name in results[0].scores}
    intervals = {
        metric.name: seed_scores(metric, predictions, seeds[0]).mean.interval
        for metric in predicted_metrics(results[0])
    }
    means = {name: Estimate(float(np.mean(found)), *intervals.get(name, UNKNOWN)) for name, found in values.items()}
    deviations = {name: float(np.std(found, ddof=1)) for name, found in values.items()}
    return SeedSummary(parent_run, " ".join(map(str, seeds)), means, deviations)


def predicted_metrics(result: Result) -> list[Metric]:
    """Return the metrics of a result that its predictions give: those of its own set of examples."""
    return list(metrics_of(result.shape, tuple(by_dimension(result.metric.name, result.scores))))


def plot_curves(curves: dict[int, pd.DataFrame], metric: Metric, folder: Path) -> None:
    """Write the curves of all seeds as PNG."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    for seed, curve in curves.items():
        axes.plot(curve["step"], curve[metric.name], "o-", label=f"seed {seed}")
    finish_axes(axes, f"{metric.label} on dev", "step", metric.label)
    save_figure(figure, folder / CURVES)


def log_seeds(parent: Run, config: Config, result: Result) -> None:
    """Record the summary in the parent run: the means as metrics, the first seed's files as artifacts."""
    values = result.to_dict()
    assert result.seeds
    for name, mean in result.seeds.means.items():
        values |= mean.to_dict(name)
    parent.log_result(Path(config.folder), [*artifacts(result), TABLE, CURVES], values)


def log_summary(config: Config, result: Result, champion: dict[str, str]) -> None:
    """Log the mean and spread of the seeds, and the locations of their models, and the row about the champion."""
    summary, folder = result.seeds, relative_to_cwd(Path(config.folder))
    assert summary
    table = pd.read_csv(folder / TABLE)
    each = ", ".join(
        f"{seed}: {value:.4f}" for seed, value in zip(table["seed"], table[result.metric.name], strict=True)
    )
    rows = f" over {rows_of(result.metric)} and seeds"
    spreads = {
        f"{label_of(name)} ({'dev' if '/' in name else result.evaluated_on})": f"mean {summary.means[name]}"
        f"{'' if '/' in name else rows}, deviation {summary.deviations[name]:.4f}"
        for name in headline(summary.means)
    }
    log_table(
        f"{result.experiment}: {len(table)} seeds, run {summary.parent_run_id}",
        {
            "seeds": each,
            **spreads,
            "model": f"{folder}/model, of seed {config.trainer.seeds[0]}; the others in {folder}/{SEEDS}",
            **champion,
        },
    )
