"""Coordination of a sweep: search, confirmation, final training and report by the leader, trials by followers."""

import logging
import time
from contextlib import closing, suppress
from dataclasses import replace

from optuna.trial import TrialState

from src.config import SweepSettings
from src.config.tracking import redact
from src.config.words import describe
from src.data import ExampleSet
from src.encoder import base_of
from src.evaluation.result import Result
from src.pipeline.losses import resolve_losses
from src.report.console import log_behind, log_pages, log_sources
from src.report.sentence import describe_result
from src.sweeping.finalists import compare_with_recipe, confirm, rank
from src.sweeping.leadership import Leadership
from src.sweeping.report import log_report, save_best, save_report
from src.sweeping.space import build_space, sweep_folder, training_config, values, with_params
from src.sweeping.storage import database_lock, set_damaged_study_aside
from src.sweeping.study import FOLDS, LEADER, SweepStudy, plan_sweep, storage_url
from src.sweeping.trainings import Trainings, split_validation
from src.sweeping.trials import TrialRunner
from src.sweeping.view import log_search, log_winner
from src.sweeping.winner import log_winning_model, train_winner
from src.sweeping.workers import check_tracking, run_processes, run_tasks
from src.tracking import Run, known_run, run_tags, start_run, sync_command, sync_journals
from src.tracking.tags import SHAPE
from src.utils.errors import TrainingDiverged, UserError, require

log = logging.getLogger(__name__)


def run_sweep(config: SweepSettings, pairs: ExampleSet) -> Result | None:
    """Search, confirm the best trials, train with the winner's params on all of train, and return that result.

    The first process is the leader and does all this. The same command in another folder or on another machine only
    runs trials and returns None, unless the leader has ended without a winner: then that process leads.

    Raises `UserError` if train cannot be split, the study belongs to other settings, or too many trials fail.
    """
    config = resolve_losses(config, pairs)
    check_searched_losses(config, pairs)
    parts = split_validation(config, pairs)
    damaged = set_damaged_study_aside(storage_url(config))
    study = SweepStudy(config)
    with closing(Leadership(study)) as leadership:
        join_study(study, leadership, keep_results=damaged)
        if ended_elsewhere(study):
            return None
        leads = leadership.acquire() or run_follower(study, parts, leadership)
        result = run_leader(study, pairs, parts, leadership) if leads else None
    send_journals(study)
    return result


def send_journals(study: SweepStudy) -> None:
    """Send what the runs of this machine could not record in an outage; log how much is left."""
    left = sum(report.left for report in sync_journals(study.folder, study.config.tracking))
    command = sync_command(study.folder, study.config.tracking.uri)
    log_behind(f"{left} entries wait in {study.folder}: run {command}" if left else None)


def check_searched_losses(config: SweepSettings, examples: ExampleSet) -> None:
    """Raise `UserError` if a searched loss does not fit the examples or the other searched settings of the loss.

    The sets of a mixture have each a loss of their own, which is not searched.
    """
    training, key = training_config(config), "loss.name"
    space = build_space(config.sweep.space, training)
    if key not in space:
        return
    expected = f"left out for a mixture: data.sets.NAME.loss is the loss of each of {list(training.part_losses)}"
    require(not training.part_losses, f"sweep.space.{key}", expected, values(space[key]))
    options = {name: values(space[name])[-1] for name in space if name.startswith("loss.")}
    for value in values(space[key]):
        resolve_losses(with_params(training, options | {key: value}), examples)


def join_study(study: SweepStudy, leadership: Leadership, keep_results: bool = False) -> None:
    """Create the study if necessary; if it has no leader, become its leader and remove the results of a former study.

    `keep_results`: the former database was damaged, and the finished trainings of this sweep need not be repeated.
    """
    with database_lock(study.url):
        study.create()
        new = study.get_attr(LEADER) is None
        if leadership.acquire():
            study.set_attr(LEADER, study.location)
            if new and not keep_results:
                study.remove_results()


def ended_elsewhere(study: SweepStudy) -> bool:
    """Return whether the sweep has a winner that was trained in another folder, and log where."""
    end = study.end
    if end is None or end["location"] == study.location or (study.folder / "winner").is_dir():
        return False
    log.info(f"The sweep has ended: trial {end['winner']} has won, and is trained in {end['location']}.")
    return True


def run_leader(study: SweepStudy, pairs: ExampleSet, parts: list[ExampleSet], leadership: Leadership) -> Result | None:
    """Run a new or resumed sweep and return the winner's result; `parts` are those of the trials.

    Returns None if another process has become the leader while the database was restarted.
    """
    study.set_attr(LEADER, study.location)
    former, plan = study.state.load(), plan_sweep(study, parts)
    study.config = plan.config
    if former and FOLDS not in former.fingerprint and study.done < study.config.sweep.trials:
        log.warning("Trials of an earlier version count with their best evaluation, those to come with their last.")
    log_sources(pairs, base_of(study.config.model))
    log_search(study, parts)
    config = parent_config(study.config)
    tags = run_tags(study.config) | {"role": "sweep", SHAPE: pairs.shape.name}
    with start_run(config, tags, known_run(config, plan.run_id), needed=True) as parent:
        study.state.save(plan.state(parent.run_id))
        trainings = Trainings(study, parts)
        search(study, TrialRunner(trainings), parent)
        return conclude(study, trainings, pairs, parent, leadership)


def run_follower(study: SweepStudy, parts: list[ExampleSet], leadership: Leadership) -> bool:
    """Run trials of a sweep that another process leads; return whether this process has to lead now."""
    log.info(f"Running trials for the sweep led by {study.get_attr(LEADER)}.")
    while study.state.load() is None or not has_trials(study):
        if leadership.acquire():
            return True
        time.sleep(1)
    plan = plan_sweep(study, parts)
    study.config = plan.config
    parent_run = str(plan.run_id)
    check_tracking(study.config, parent_run)
    run_trials(study, TrialRunner(Trainings(study, parts)), parent_run)
    leader = study.get_attr(LEADER)
    if not leadership.acquire():
        log.info(f"No trial is left to run: {leader}, the leader, confirms the best ones and trains the winner.")
        return False
    if ended_elsewhere(study):
        return False
    log.warning(f"{leader}, the leader, has ended without a winner: this process leads now.")
    return True


def has_trials(study: SweepStudy) -> bool:
    """Return whether the leader has filled the queue: trials wait or run, or all are done."""
    return bool(study.trials(TrialState.WAITING, TrialState.RUNNING)) or study.done >= study.config.sweep.trials


def search(study: SweepStudy, runner: TrialRunner, parent: Run) -> None:
    """Run trials until `sweep.trials` are completed or pruned.

    Raises `UserError` if all trials fail that are run, `sweep.failures` times in a row: each time new workers run them.
    """
    sweep, fruitless = study.config.sweep, 0
    first = None if sweep.sampler == "grid" else study.recipe
    while (done := study.done) < sweep.trials:
        study.fill_queue(sweep.trials, first)
        run_trials(study, runner, parent.run_id)
        fruitless = 0 if study.done > done else fruitless + 1
        if fruitless == sweep.failures:
            raise UserError(
                f"expected trials that end, found that all have failed {fruitless} times in a row (the last:"
                f" {study.last_reason()}): remove the cause and run the same command again, or raise sweep.failures."
            )
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


def conclude(
    study: SweepStudy, trainings: Trainings, pairs: ExampleSet, parent: Run, leadership: Leadership
) -> Result | None:
    """Confirm the best trials, train with the winner's params on all of train, report, and return that result.

    Returns None if another process has become the leader meanwhile.
    """
    result = None
    while result is None:
        if not leads(study, leadership):
            return None
        ranking = rank(confirm(trainings, parent.run_id), trainings.metric, study.config.sweep.seed)
        if not leads(study, leadership):
            return None
        with suppress(TrainingDiverged):  # this trial is now excluded: choose among the others
            result = train_winner(ranking[0], trainings, pairs, parent)
    winner = ranking[0]
    won = f"Trial {winner.number:03d} has won with {describe(winner.params)}; {compare_with_recipe(study, ranking)}"
    parent.set_description(f"{won}: {describe_result(result, pairs)}")
    best = save_best(study, ranking, trainings.metric)
    log_report(parent, study, ranking, save_report(study, ranking, trainings.metric), best)
    log_winning_model(winner, trainings, parent)
    study.set_end(winner.number)
    log_winner(study, ranking, best)
    log_pages(parent, view=parent.run_id)
    return result


def leads(study: SweepStudy, leadership: Leadership) -> bool:
    """Return whether this process still leads, and log which one does instead.

    A database that was restarted meanwhile has released the lock, and another process may have led to the end.
    """
    if not leadership.acquire():
        log.warning(f"{study.get_attr(LEADER)} has become the leader, and trains the winner.")
        return False
    return not ended_elsewhere(study)


def parent_config(config: SweepSettings) -> SweepSettings:
    """Return the settings to record in the parent run: with the sweep's folder, without the database password."""
    sweep = replace(config.sweep, storage=config.sweep.storage and redact(config.sweep.storage))
    return replace(config, folder=str(sweep_folder(config)), sweep=sweep)
