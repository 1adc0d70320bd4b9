"""Coordination of a sweep: search, confirmation, final training and report by the leader, trials by followers."""

import logging
import time
from contextlib import suppress
from dataclasses import replace

from src.config import SweepSettings
from src.config.tracking import redact
from src.data import PairData
from src.encoder import base_of
from src.evaluation.result import Result
from src.report.console import log_behind, log_sources
from src.sweeping.report import log_report, save_best, save_report
from src.sweeping.space import current_params, sweep_folder, training_config
from src.sweeping.study import LEADER, SweepStudy, database_lock, plan_sweep
from src.sweeping.trainings import Trainings, split_validation
from src.sweeping.trials import TrialRunner
from src.sweeping.view import log_search, log_winner
from src.sweeping.winner import confirm, log_winning_model, rank, train_winner
from src.sweeping.workers import check_tracking, run_processes, run_tasks
from src.tracking import Run, known_run, run_tags, start_run, sync_journals
from src.utils.errors import TrainingDiverged

log = logging.getLogger(__name__)


def run_sweep(config: SweepSettings, pairs: PairData) -> Result | None:
    """Search, confirm the best trials, train with the winner's params on all of train, and return that result.

    The process that created the study is the leader and does all this. On any other machine the same command only
    runs trials and returns None.

    Raises `UserError` if train cannot be split, the study belongs to other settings, or too many trials fail.
    """
    parts = split_validation(config, pairs)
    study = SweepStudy(config)
    join_study(study)
    if study.is_leader:
        return run_leader(study, pairs, parts)
    run_follower(study, parts)
    return None


def join_study(study: SweepStudy) -> None:
    """Create the study if necessary; if it has no leader, become its leader and remove old results."""
    with database_lock(study.url):
        study.create()
        if study.get_attr(LEADER) is None:
            study.remove_results()
            study.set_attr(LEADER, study.location)


def run_leader(study: SweepStudy, pairs: PairData, parts: PairData) -> Result:
    """Run a new or resumed sweep and return the winner's result; `parts` are the pairs of the trials."""
    plan = plan_sweep(study, parts)
    study.config = plan.config
    log_sources(pairs, base_of(study.config.model))
    log_search(study, parts)
    config = parent_config(study.config)
    tags = run_tags(study.config) | {"role": "sweep"}
    with start_run(config, tags, known_run(config, plan.run_id), needed=True) as parent:
        study.state.save(plan.state(parent.run_id))
        trainings = Trainings(study, parts)
        search(study, TrialRunner(trainings), parent)
        result = conclude(study, trainings, pairs, parent)
    left = sum(report.left for report in sync_journals(study.folder, study.config.tracking))
    log_behind(f"{left} entries wait in {study.folder}: python -m src.sync sends them" if left else None)
    return result


def run_follower(study: SweepStudy, parts: PairData) -> None:
    """Run trials of a sweep whose leader is another machine."""
    log.info(f"Running trials for the sweep led by {study.get_attr(LEADER)}.")
    while study.state.load() is None or not study.trials():
        time.sleep(1)
    plan = plan_sweep(study, parts)
    study.config = plan.config
    parent_run = str(plan.run_id)
    check_tracking(study.config, parent_run)
    run_trials(study, TrialRunner(Trainings(study, parts)), parent_run)


def search(study: SweepStudy, runner: TrialRunner, parent: Run) -> None:
    """Run trials until `sweep.trials` are completed or pruned."""
    sweep = study.config.sweep
    first = None if sweep.sampler == "grid" else current_params(training_config(study.config), study.space)
    while study.done < sweep.trials:
        study.fill_queue(sweep.trials, first)
        run_trials(study, runner, parent.run_id)
    parent.close_children()


def run_trials(study: SweepStudy, runner: TrialRunner, parent_run: str) -> None:
    """Run waiting trials until none is left: in this process, in several local processes, or on a Ray cluster."""
    sweep = study.config.sweep
    if sweep.engine == "ray":
        run_tasks(study.config, parent_run)
    elif sweep.workers > 1:
        run_processes(study.config, parent_run)
    else:
        runner.run_all(parent_run)


def conclude(study: SweepStudy, trainings: Trainings, pairs: PairData, parent: Run) -> Result:
    """Confirm the best trials, train with the winner's params on all of train, report, and return that result."""
    while True:
        ranking = rank(confirm(trainings, parent.run_id), study.config.sweep.seed)
        with suppress(TrainingDiverged):  # this trial is now excluded: choose among the others
            result = train_winner(ranking[0], trainings, pairs, parent)
            break
    best = save_best(study, ranking[0])
    log_report(parent, study, ranking, save_report(study, ranking), best)
    log_winning_model(ranking[0], trainings, parent)
    log_winner(study, ranking, best)
    return result


def parent_config(config: SweepSettings) -> SweepSettings:
    """Return the settings to record in the parent run: with the sweep's folder, without the database password."""
    sweep = replace(config.sweep)
    sweep.storage = config.sweep.storage and redact(config.sweep.storage)  # not validated: the scheme is gone
    return replace(config, folder=str(sweep_folder(config)), sweep=sweep)
