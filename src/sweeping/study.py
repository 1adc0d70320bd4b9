"""The study of a sweep: its trials, attributes and run state in a database that all its processes share.

The database is an SQLite file for one machine, or a PostgreSQL server for several.
"""

import socket
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.samplers import RandomSampler
from optuna.storages import get_storage
from optuna.trial import FrozenTrial, Trial, TrialState

from src.config import SweepSettings
from src.config.schema import LOCATIONS
from src.config.tracking import SQLITE, redact
from src.data import ExampleSet
from src.pipeline.state import RunPlan, StateStore, plan_run
from src.sweeping.search import build_pruner, build_sampler
from src.sweeping.space import Params, build_space, current_params, sweep_folder, training_config
from src.sweeping.storage import open_storage
from src.tracking.journal import FOLDER as JOURNALS
from src.training.checkpoints import CHECKPOINTS
from src.utils.errors import shorten
from src.utils.files import remove, remove_except

STATES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
FOLDS = "sweep.folds"
"""Setting that is in the state of every sweep since trials count with their last evaluation."""
LEADER, STATE, END = "leader", "state", "end"
"""User attributes of a study."""
REASON = "reason"
"""User attribute of a trial: why it was ended early or failed."""
OPERATIONAL_KEYS = ("trials", "workers", "engine", "storage", "heartbeat", "failures", "confirm")
MUTABLE_SETTINGS = (*LOCATIONS, "published", "trainer.threads", *(f"sweep.{key}" for key in OPERATIONAL_KEYS))
"""Settings that may differ from one start of a sweep to the next."""


class SweepStudy:
    """The Optuna study of one sweep, in its database."""

    def __init__(self, config: SweepSettings) -> None:
        self.config = config
        self.space = build_space(config.sweep.space, training_config(config))
        self.folder = sweep_folder(config)
        self.name = config.name
        self.url = storage_url(config)
        self.location = f"{socket.gethostname()}:{self.folder.resolve()}"
        self.storage = open_storage(self.url, config.sweep.heartbeat)
        self.cached_storage = get_storage(self.storage)
        """Cache of the same database: a finished trial is read only once."""
        self.state = StateStore(
            redact(self.url), lambda: self.get_attr(STATE), lambda values: self.set_attr(STATE, values)
        )
        """Run state of the sweep; never `done`, as a later start may request more trials."""

    def create(self) -> None:
        """Create the study unless it exists."""
        with suppress(DuplicatedStudyError):
            optuna.create_study(storage=self.storage, study_name=self.name, direction="maximize")

    def optuna_study(self, number: int = 0) -> optuna.Study:
        """Return the Optuna study with the pruner, and with the sampler of trial `number`."""
        sampler, pruner = build_sampler(self.config.sweep, self.space, number), build_pruner(self.config.sweep.pruner)
        return optuna.load_study(study_name=self.name, storage=self.cached_storage, sampler=sampler, pruner=pruner)

    @cached_property
    def id(self) -> int:
        """Id of the study in its database."""
        return self.storage.get_study_id_from_name(self.name)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, or all, ordered by number."""
        return self.cached_storage.get_all_trials(self.id, deepcopy=False, states=states or None)

    def best_trials(self) -> list[FrozenTrial]:
        """Return the completed trials, the best first, ties ordered by number."""
        return sorted(self.trials(TrialState.COMPLETE), key=lambda trial: (-(trial.value or 0.0), trial.number))

    @cached_property
    def recipe(self) -> Params | None:
        """The configuration's own params, None if one of them lies outside the space."""
        return current_params(training_config(self.config), self.space)

    @property
    def done(self) -> int:
        """The number of completed and pruned trials."""
        return len(self.trials(*DONE))

    def last_reason(self) -> str:
        """Return why the last of the trials with a reason was ended early or failed."""
        reasons = [str(trial.user_attrs[REASON]) for trial in self.trials() if REASON in trial.user_attrs]
        return shorten(reasons[-1]) if reasons else "of unknown cause"

    def set_attr(self, key: str, value: Any) -> None:
        """Set a user attribute of the study."""
        self.storage.set_study_user_attr(self.id, key, value)

    def get_attr(self, key: str) -> Any:
        """Return a user attribute of the study, None if it is not set."""
        return self.storage.get_study_user_attrs(self.id).get(key)

    @property
    def end(self) -> dict[str, Any] | None:
        """The winner's trial and its location, None if the sweep has not ended with these trials."""
        end: dict[str, Any] | None = self.get_attr(END)
        return end if end and end["done"] == self.done >= self.config.sweep.trials else None

    def set_end(self, winner: int) -> None:
        """Store that the sweep has ended here with this trial as the winner."""
        self.set_attr(END, {"done": self.done, "winner": winner, "location": self.location})

    def exclude(self, number: int, reason: str) -> None:
        """Exclude a completed trial from the choice of the winner."""
        self.set_attr(f"excluded.{number}", reason)

    def exclusion(self, number: int) -> str | None:
        """Return the reason why a trial is excluded from the choice of the winner, None if it is not."""
        reason: str | None = self.get_attr(f"excluded.{number}")
        return reason

    def remove_results(self) -> None:
        """Remove the results of a former study (in another database) from the folder, but for entries not yet sent."""
        for name in ("trials", "confirm", "winner", "report"):
            remove_except(self.folder / name, JOURNALS)

    def fill_queue(self, total: int, first: Params | None) -> None:
        """Enqueue or cancel trials until `total` are done, running or waiting; `first`: params of trial 0.

        Trials are numbered here, before any process runs them, so that concurrent processes cannot create too many.
        """
        waiting, known = self.trials(TrialState.WAITING), len(self.trials())
        active = len(self.trials(*DONE, TrialState.RUNNING, TrialState.WAITING))
        for trial in waiting[max(len(waiting) - max(active - total, 0), 0) :]:
            self.storage.set_trial_state_values(trial_id(trial), TrialState.FAIL)
        for number in range(active, total):
            fixed = {"fixed_params": first} if number == known == 0 and first else {}
            new = optuna.create_trial(state=TrialState.WAITING, system_attrs=fixed)
            self.storage.create_new_trial(self.id, template_trial=new)

    def tell(self, number: int, value: float | None = None, state: TrialState | None = None) -> None:
        """Store the outcome of a trial: its value, or the state PRUNED or FAIL."""
        # not with the trial's own sampler: at the end of a grid it calls `Study.stop`, which fails outside `optimize`
        study = optuna.load_study(study_name=self.name, storage=self.cached_storage, sampler=RandomSampler())
        study.tell(number, value, state, skip_if_finished=True)

    def trial_folder(self, number: int) -> Path:
        """Return the folder of a trial's training run."""
        return self.folder / "trials" / f"{number:04d}"


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a training in the folder, or of those of its folds."""
    for each in (folder, *folder.glob("fold*")):
        remove(each / CHECKPOINTS)


def storage_url(config: SweepSettings) -> str:
    """Return the address of the database: the configured one, or that of a file in the sweep's folder."""
    return config.sweep.storage or f"{SQLITE}{sweep_folder(config).resolve()}/study.db"


def plan_sweep(study: SweepStudy, parts: list[ExampleSet]) -> RunPlan:
    """Return the settings with the precision resolved, and the parent run to resume; change nothing.

    `parts` are those of the trials; train, seed and number of folds decide them all, so that the first identifies them.

    Raises `UserError` if the study belongs to a sweep with other settings.
    """
    advice = "restore them to resume it, or give the new sweep another name=NAME, or remove the old one"
    return plan_run(study.config, parts[0], study.state, "auto", advice, excluded=MUTABLE_SETTINGS)


def trial_id(trial: FrozenTrial | Trial) -> int:
    """Return the id of a trial in the database, which storages require although it is private in Optuna."""
    return trial._trial_id
