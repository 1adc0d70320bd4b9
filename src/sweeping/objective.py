"""Trials: claimed, run, and told to Optuna with their outcome."""

import shutil
import time
import traceback

from optuna.trial import TrialState

from src.errors import Diverged, UserError
from src.metrics.names import SPEARMAN
from src.sweeping.claims import Claim, claimed
from src.sweeping.listener import Pruned, TrialListener
from src.sweeping.study import best_first
from src.sweeping.trainings import Trainings
from src.sweeping.values import draw
from src.sweeping.view import TrialView
from src.tracking import PARENT


class TrialRunner:
    """Runs claimed trials one after the other."""

    def __init__(self, trainings: Trainings, view: TrialView) -> None:
        self.trainings = trainings
        self.study = trainings.study
        self.view = view
        self.failures = 0

    def work(self, parent_run: str) -> None:
        """Run waiting trials below a parent run until all are done, or none is left and none is running anywhere."""
        while self.study.done < self.study.config.sweep.trials:
            with claimed(self.study) as claim:
                if claim is not None:
                    self.run(claim, parent_run)
                    continue
            if not self.study.trials(TrialState.RUNNING, TrialState.WAITING):
                return
            time.sleep(0.5)

    def run(self, claim: Claim, parent_run: str) -> None:
        """Run a trial and tell its outcome.

        Raises:
            UserError: as many trials have failed as `sweep.failures` allows.

        """
        started = time.monotonic()
        folder = self.study.trial_folder(claim.number)
        values = draw(claim.trial, self.study.space)
        tags = {"role": "trial", "trial.number": str(claim.number), PARENT: parent_run}
        evaluations = self.study.config.sweep.evaluations
        try:
            metrics = self.trainings.run(
                values, folder, tags, listen=lambda config: TrialListener(claim, config, evaluations)
            )
            claim.note(run_id=metrics["run_id"])
            self.study.tell(claim.number, metrics[SPEARMAN])
        except (Pruned, Diverged) as reason:
            claim.note(reason=reason.what if isinstance(reason, Diverged) else str(reason))
            self.study.tell(claim.number, state=TrialState.PRUNED)
        except Exception as error:
            self._fail(claim, error)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        self.drop_models()
        self.view.show(self.study, claim.number, values, time.monotonic() - started)

    def _fail(self, claim: Claim, error: Exception) -> None:
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
        claim.note(reason=reason[:1000])
        self.study.tell(claim.number, state=TrialState.FAIL)
        self.failures += 1
        if self.failures >= self.study.config.sweep.failures or isinstance(error, AssertionError):
            raise UserError(
                f"expected trials that end, found {self.failures} failed, the last one, {claim.number}, with {reason}:"
                " mend the cause and give the same command again, or raise sweep.failures."
            ) from error

    def drop_models(self) -> None:
        """Remove the models of all trials but the best so far, one of which the winner is likely to be."""
        for trial in best_first(self.study)[self.study.config.sweep.confirm.top_k :]:
            shutil.rmtree(self.study.trial_folder(trial.number) / "model", ignore_errors=True)
