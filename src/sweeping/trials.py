"""Execution of trials: acquire, train, prune, and store the outcome in the study."""

import logging
import multiprocessing
import shutil
import time
import traceback
from dataclasses import dataclass

from optuna.trial import TrialState

from src.evaluation.metrics import Metric
from src.sweeping.lease import Lease, acquire_trial, is_held
from src.sweeping.space import Params, suggest
from src.sweeping.storage import DatabaseUnreachable
from src.sweeping.study import REASON, remove_checkpoints
from src.sweeping.trainings import Trainings
from src.sweeping.view import TrialView
from src.tracking import PARENT
from src.training import CurveRow
from src.utils.errors import TrainingDiverged, TrainingStopped, UserError

log = logging.getLogger(__name__)


class TrialPruned(TrainingStopped):
    """Training was stopped by the pruner."""


@dataclass
class TrialCallback:
    """Report each evaluation of a training run to its trial; stop the run if the pruner decides so."""

    lease: Lease
    metric: Metric
    """The leading metric, which is reported."""
    evaluations: int
    """Number of evaluations of a training run, at equal intervals."""
    part: int = 0
    """Number of the part of the validation that this training holds out, from 0."""
    parts: int = 1
    prunes: bool = True
    """Whether the pruner may stop the trial."""
    steps: int = 0

    def on_train_begin(self, steps: int, step: int) -> None:
        """Store the number of steps, of all parts, as an attribute of the trial."""
        self.steps = steps
        self.lease.set_attrs(steps=steps * self.parts)

    def on_step(self, step: int, values: dict[str, float]) -> None:
        """Raise `KeyboardInterrupt` if the process that started this worker has ended."""
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            raise KeyboardInterrupt

    def on_evaluate(self, row: CurveRow) -> None:
        """Report the evaluation at its progress in per cent, which makes training runs of any length comparable.

        That of the base encoder is not reported: it is the same in all trials. The pruner is asked from half of each
        training on: before, a long schedule with a high learning rate is behind what it ends with.

        Raises `TrialPruned` if the trial is pruned.
        """
        if row.step == 0:
            return
        evaluation = self.evaluations * row.step // self.steps
        progress = 100 * (self.evaluations * self.part + evaluation) // (self.evaluations * self.parts)
        value = row.metrics[self.metric.name]
        self.lease.report(value, progress)
        late = 2 * evaluation >= self.evaluations and progress < 100
        if late and self.prunes and self.lease.trial.should_prune():
            raise TrialPruned(f"pruned at {progress} % of the training with {self.metric.label} {value:.4f}")


class TrialRunner:
    """Runner of acquired trials, one after the other."""

    def __init__(self, trainings: Trainings) -> None:
        self.trainings = trainings
        self.study = trainings.study
        self.view = TrialView(self.study)
        self.failures = 0

    def run_all(self, parent_run: str) -> None:
        """Run trials as children of a parent run until all are done, or none waits and none runs in any process."""
        while self.study.done < self.study.config.sweep.trials:
            with acquire_trial(self.study) as lease:
                if lease is not None:
                    self.run_trial(lease, parent_run)
                    continue
            if not self.study.trials(TrialState.RUNNING, TrialState.WAITING):
                return
            time.sleep(0.5)

    def run_trial(self, lease: Lease, parent_run: str) -> None:
        """Run a trial and store its outcome.

        Raises `UserError` if as many trials have failed as `sweep.failures` allows.
        """
        started = time.monotonic()
        params = suggest(lease.trial, self.study.space)
        try:
            self._train_or_prune(lease, params, parent_run)
        except DatabaseUnreachable:
            raise
        except Exception as error:
            if is_held(self.study, lease.trial):
                self._fail(lease, error)
            else:
                log.warning(f"trial {lease.number} was taken by another process, as that of a dead one, meanwhile")
        remove_checkpoints(self.study.trial_folder(lease.number))
        self._remove_models()
        self.view.log_trial(lease.number, params, time.monotonic() - started)

    def _train_or_prune(self, lease: Lease, params: Params, parent_run: str) -> None:
        try:
            self._train(lease, params, parent_run)
        except (TrialPruned, TrainingDiverged) as reason:
            lease.set_attrs(**{REASON: reason.problem if isinstance(reason, TrainingDiverged) else str(reason)})
            self.study.tell(lease.number, state=TrialState.PRUNED)

    def _train(self, lease: Lease, params: Params, parent_run: str) -> None:
        tags = {"role": "trial", "trial.number": str(lease.number), PARENT: parent_run}
        metric, evaluations = self.trainings.metric, self.study.config.sweep.evaluations
        parts, prunes = len(self.trainings.parts), params != self.study.recipe  # the recipe is compared in the end

        def callbacks(part: int) -> list[TrialCallback]:
            return [TrialCallback(lease, metric, evaluations, part, parts, prunes)]

        outcome = self.trainings.run(params, self.study.trial_folder(lease.number), tags, callbacks, keep_model=True)
        lease.set_attrs(run_id=outcome.run_id)
        self.study.tell(lease.number, outcome.value)

    def _fail(self, lease: Lease, error: Exception) -> None:
        log.warning(f"trial {lease.number} failed:\n{traceback.format_exc()}")
        reason = f"{type(error).__name__}: {error}"
        lease.set_attrs(**{REASON: reason[:1000]})
        self.study.tell(lease.number, state=TrialState.FAIL)
        self.failures += 1
        if self.failures >= self.study.config.sweep.failures:
            raise UserError(
                f"expected fewer failed trials, found {self.failures}, the last one, {lease.number}, with {reason}:"
                " remove the cause and run the same command again, or raise sweep.failures."
            ) from error

    def _remove_models(self) -> None:
        """Remove the models of all trials but the best so far, which are likely to be confirmed."""
        for trial in self.study.best_trials()[self.study.config.sweep.confirm.top_k :]:
            # another worker may be removing the same one
            shutil.rmtree(self.study.trial_folder(trial.number) / "model", ignore_errors=True)
