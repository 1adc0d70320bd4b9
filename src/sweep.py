"""Search better settings of a training with Optuna: python -m src.sweep +experiment=review_sts."""

import signal
import time
from dataclasses import replace

from datasets import disable_progress_bars
from transformers.utils.logging import disable_progress_bar

from src.config import SweepSettings
from src.data import PairData, digest, load_pairs, split_off
from src.encoder import base_of
from src.entry import entry, one_sentence
from src.errors import Diverged
from src.files import sole_use
from src.provenance import provenance
from src.report.console import console
from src.report.result import Metrics
from src.report.summary import print_behind, print_sources
from src.sweeping.cluster import run_tasks
from src.sweeping.identity import identity_of, stay_the_same
from src.sweeping.objective import TrialRunner
from src.sweeping.report import log_report, write_best, write_report
from src.sweeping.selection import confirm, rank
from src.sweeping.space import build_space
from src.sweeping.study import SweepStudy, sweep_folder
from src.sweeping.trainings import Trainings, plain
from src.sweeping.values import present
from src.sweeping.view import TrialView, print_choice, print_head
from src.sweeping.winner import keep_model, train_winner
from src.sweeping.workers import check_store, run_workers
from src.tracking import Run, deliver, known_run, start_run
from src.train import train


def run(config: SweepSettings) -> Metrics | None:
    """Search, choose, and train with the chosen settings; return the metrics of that training.

    The process that made the study does the choosing; any other, on another machine, runs trials and returns None.
    """
    with sole_use(sweep_folder(config)):
        pairs = load_pairs(config.data)
        study = SweepStudy(config, build_space(config.sweep.space, plain(config)))
        runner = runner_of(study, pairs)  # refuses what cannot be split before a study is made of it
        leads = study.lead()
        stay_the_same(study, identity_of(config, digest(pairs.train)))
        if not leads:
            help_out(study, runner)
            return None
        print_sources(pairs, base_of(config.model))
        print_head(study, runner.trainings.pairs)
        tags = provenance(config) | {"role": "sweep"}
        with start_run(parent_of(config), tags, former(study), needed=True) as parent:
            study.note("parent", parent.run_id)
            search(study, runner, parent)
            metrics = conclude(study, runner.trainings, pairs, parent)
        left = sum(delivery.left for delivery in deliver(study.folder))
        print_behind(f"{left} entries wait in {study.folder}: python -m src.sync sends them" if left else None)
        return metrics


def search(study: SweepStudy, runner: TrialRunner, parent: Run) -> None:
    """Run trials until as many as asked for are finished or pruned."""
    config = study.config
    first = None if config.sweep.sampler == "grid" else present(plain(config), study.space)
    while study.done < config.sweep.trials:
        study.fill_up(config.sweep.trials, first)
        run_trials(config, runner, parent.run_id)
    parent.close_children()


def run_trials(config: SweepSettings, runner: TrialRunner, parent_run: str) -> None:
    """Run waiting trials until none is left: here, in processes of this machine, or on a Ray cluster."""
    if config.sweep.engine == "ray":
        run_tasks(config, parent_run, work)
    elif config.sweep.workers > 1:
        run_workers(config, parent_run, work_apart)
    else:
        runner.work(parent_run)


def conclude(study: SweepStudy, trainings: Trainings, pairs: PairData, parent: Run) -> Metrics:
    """Choose the winner, train with its settings on all of train, and report; if that diverges, choose again."""
    standings = rank(confirm(trainings, parent.run_id), study.config.sweep.seed)
    try:
        metrics = train_winner(study, standings[0], pairs, trainings, parent)
    except Diverged:
        return conclude(study, trainings, pairs, parent)
    best = write_best(study, standings[0])
    log_report(parent, study, standings, write_report(study, standings), best)
    keep_model(study, standings[0], trainings, parent)
    print_choice(study, standings, best)
    return metrics


def runner_of(study: SweepStudy, pairs: PairData) -> TrialRunner:
    """Return what runs the trials of this process: on the rest of train, compared on its validation part."""
    sweep = study.config.sweep
    rest, validation = split_off(pairs.train, sweep.validation, sweep.seed, "sweep.validation")
    parts = replace(pairs, train=rest, dev=validation, test=None, findings=())
    return TrialRunner(Trainings(study, parts, train), TrialView(sweep.trials, sweep.workers))


def work(config: SweepSettings, parent_run: str) -> None:
    """Run trials in a task of a Ray cluster until none is left."""
    disable_progress_bar()
    disable_progress_bars()
    study = SweepStudy(config, build_space(config.sweep.space, plain(config)))
    check_store(config, parent_run)
    runner_of(study, load_pairs(config.data)).work(parent_run)


def work_apart(config: SweepSettings, parent_run: str) -> None:
    """Run trials in a process of this machine until none is left."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with one_sentence():
        work(config, parent_run)


def help_out(study: SweepStudy, runner: TrialRunner) -> None:
    """Run trials of a study that another machine has made."""
    console.print(f"Trials of the sweep that {study.noted('leader')} has started and will conclude.")
    while (parent_run := study.noted("parent")) is None or not study.trials():
        time.sleep(1)
    check_store(study.config, parent_run)
    run_trials(study.config, runner, parent_run)


def parent_of(config: SweepSettings) -> SweepSettings:
    """Return the settings as the parent run shows them: with its own folder, without the password of the database."""
    shown = replace(config.sweep)
    shown.storage = config.sweep.storage and config.sweep.storage.split("@")[-1]
    return replace(config, folder=str(sweep_folder(config)), sweep=shown)


def former(study: SweepStudy) -> str | None:
    """Return the parent run of an unfinished sweep."""
    return known_run(study.config, study.noted("parent"))


if __name__ == "__main__":
    entry(run, "sweep")()
