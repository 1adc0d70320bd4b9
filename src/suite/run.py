"""Evaluation on a suite, from settings to the reports: the examples and the models' addresses are checked first."""

import logging
import re
import shlex
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from src.config import Config
from src.config.evaluation import BASE, EvaluateConfig
from src.config.recorded import recorded_config
from src.config.schema import load_suite
from src.evaluation.result import Result
from src.prediction.encoder import SETTINGS, experiment_of
from src.suite.models import find_models
from src.suite.sets import LoadedSet, load_sets
from src.utils.console import console, log_to_file, relative_to_cwd
from src.utils.errors import UserError, shorten
from src.utils.files import exclusive_lock, path_of

if TYPE_CHECKING:
    from src.suite.evaluation import SetResult
    from src.suite.report import Report

SUITE = Path(__file__).parents[2] / "conf" / "suite" / "korean_sts.yaml"
UNNAMEABLE = re.compile(r"[^\w. :-]")
"""Characters that a part of the name of a metric cannot have in MLflow; a / would start a further part."""
LONGEST = 100
"""Characters of a model's name in that of a metric, of which MLflow accepts 250 in all."""

log = logging.getLogger(__name__)


def run_evaluation(config: EvaluateConfig) -> "Report":
    """Evaluate a model, and others beside it, on a suite; print the report, write and record it, and return it.

    Raises `UserError` for invalid examples, an unknown model, a folder that cannot be written, or if no set can be
    reached.
    """
    experiment = experiment_of(config.model)
    output = path_of(config.output) if config.output else None
    written = [folder for folder in (experiment if config.record or not output else None, output) if folder]
    with ExitStack() as stack:
        for folder in {folder.resolve(): folder for folder in written}.values():
            stack.enter_context(exclusive_lock(folder))
        return evaluate_on_suite(config)


def evaluate_trained(config: Config) -> None:
    """Evaluate the model that a training has just written, against its base encoder, on `SUITE`.

    The training has succeeded, whatever happens here.
    """
    settings = EvaluateConfig(
        model=config.folder,
        against=[BASE],
        suite=load_suite(SUITE),
        threads=config.trainer.threads,
        seed=config.trainer.seed,
        tracking=config.tracking,
    )
    again = f"run python -m src.evaluate model={shlex.quote(str(relative_to_cwd(Path(config.folder))))} against={BASE}"
    failed = f"the model was not evaluated on {settings.suite.name}"
    from src.pipeline.training import LOG_FILE  # imports torch, as the training before it

    with log_to_file(Path(config.folder) / LOG_FILE):
        try:
            evaluate_on_suite(settings)
        except UserError as error:
            log.warning(f"{failed}: {shorten(error, 500)}; {again}")
        except Exception as error:
            log.warning(f"{failed}: {shorten(error, 500)}; {again}", exc_info=True)


def evaluate_on_suite(config: EvaluateConfig) -> "Report":
    """Evaluate as `run_evaluation` does; the caller has locked the experiment's folder."""
    experiment = experiment_of(config.model)
    result = Result.load(experiment) if experiment else None
    settings = None
    if experiment and config.record:
        settings = recorded_config(experiment / SETTINGS, experiment, replace(config.tracking, system_metrics=False))
    models = find_models(config.model, config.against, config.tracking)
    with console.status("Checking the sets"):
        sets, left_out = load_sets(config.suite)
    if not sets and not config.mteb:
        raise UserError(f"expected a set that can be reached, found none: {next(iter(left_out.values()))}.")
    # these import torch, which takes seconds: a wrong address is reported before that
    from src.report.blocks import print_blocks
    from src.suite.evaluation import evaluate_models
    from src.suite.report import Report, report_blocks, summary, write_report

    start = time.perf_counter()
    found, precision, mteb = evaluate_models(models, sets, config)
    names = {one.name: one.reference for one in models}
    seconds, run_id = time.perf_counter() - start, result.run_id if result else None
    report = Report(config.suite.name, names, found, left_out, precision, seconds, mteb, run_id)
    print_blocks(report_blocks(report))
    if sentences := summary(report):
        console.print(f"\n{sentences}")
    folder = path_of(config.output) if config.output else experiment
    if folder:
        write_report(report, folder)
        log.info(f"{relative_to_cwd(folder / 'evaluation.md')}, computed in {report.seconds:.0f} s")
    if folder and result and settings:
        record(report, sets, result, settings, folder)
    return report


def record(report: "Report", sets: list[LoadedSet], result: Result, settings: Config, folder: Path) -> None:
    """Write the report into the card of an experiment's model, and its metrics into the run and the logged model.

    `settings`: those of the experiment; `folder`: that of the report.
    """
    from src.report.console import log_behind
    from src.suite.card import update_card
    from src.suite.report import FILES
    from src.tracking import known_run, start_run  # imports mlflow, which takes seconds

    update_card(Path(settings.folder) / "model", report)
    known = known_run(settings, result.run_id)
    if known is None:
        log.warning(f"  note: run {result.run_id} is not in the tracking store, so its metrics are not recorded")
        return
    with start_run(settings, {}, known) as run:
        for one, found in zip(sets, report.sets, strict=True):
            context = f"{report.suite} {one.name}"
            examples = one.data.provenance, one.examples
            run.log_measured(_named(report, found), result.steps, examples, context)
        for task, values in report.mteb.items():
            measured = {f"mteb/{task}/{_part(name)}": value for name, value in values[report.model].items()}
            run.log_measured(measured, result.steps, None, f"MTEB {task}")
        run.log_files(folder, [name for name in FILES if (folder / name).is_file()])
    log_behind(run.behind)


def _named(report: "Report", found: "SetResult") -> dict[str, float]:
    """Return the model's metrics on a set, and its differences to others, by their names in the store."""
    values: dict[str, float] = {}
    for name, estimate in found.scores[report.model].items():
        values |= estimate.to_dict(name)
    for each in found.verdicts:
        values |= each.estimate.to_dict(f"{found.metric.name}_against_{_part(each.other)}")
    return {f"{report.suite}/{found.name}/{name}": value for name, value in values.items()}


def _part(name: str) -> str:
    """Return a name as part of that of a metric; of a long one, such as a path, the end."""
    return UNNAMEABLE.sub("_", name)[-LONGEST:]
