"""How each operation of a journal is recorded in the MLflow store."""

from collections.abc import Callable
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from src.errors import UserError
from src.tracking.journal import Journal, Operation
from src.tracking.models import Models
from src.tracking.outage import wait_for_turn
from src.tracking.store import JOURNAL_TAG, PARENT, open_store, run_named

SYSTEM = "system/"
"""Start of the names of system metrics."""
Facts = dict[str, str] | None


class Sender:
    """Records the operations of one run.

    An operation may come again, after a crash or an answer that got lost: it is recorded once all the same.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.client, self.experiment_id = open_store(journal.tracking, journal.experiment)
        self.recorded: set[tuple[str, int]] | None = None
        """Names and steps of the metrics that the store has; None: not asked yet."""
        self.handlers: dict[str, Callable[..., Facts]] = {
            "open": self._open,
            "params": self._params,
            "tags": self._tags,
            "metrics": self._metrics,
            "dataset": self._dataset,
            "artifact": self._artifact,
            "model": self._model,
            "close_children": self._close_children,
            "end": self._end,
        }

    def send(self, operation: Operation) -> dict[str, str]:
        """Record an operation and return what the store has answered for good."""
        wait_for_turn(self.journal.tracking.uri)
        return self.handlers[operation.name](operation.at, **operation.values) or {}

    @property
    def run_id(self) -> str:
        """The run's id in the store, once it is open there."""
        return self.journal.run_id

    def _open(self, at: int, new: bool, tags: dict[str, str]) -> Facts:
        known = run_named(self.client, self.run_id, [self.experiment_id] if new else None)
        if known is None and not new:
            raise UserError(
                f"{self.journal.tracking.uri}: expected the unfinished run {self.run_id}, found no such run: set "
                "trainer.resume=never to start anew, or bring the store back."
            )
        if known is None:
            self._close(f"attributes.status = 'RUNNING' and tags.folder = \"{tags['folder']}\"", at)
            own = {**tags, JOURNAL_TAG: self.journal.key}
            if PARENT in own:
                own[PARENT] = run_named(self.client, own[PARENT]) or own[PARENT]
            known = str(self.client.create_run(self.experiment_id, start_time=at, tags=own).info.run_id)
            self.recorded = set()
        if new:
            self._adopt(known)
        self.client.update_run(known, status="RUNNING")
        return {"run_id": known}

    def _adopt(self, run_id: str) -> None:
        """Give its id to children that the store got before this run, and that know its key only."""
        for child in self.client.search_runs([self.experiment_id], f"tags.`{PARENT}` = '{self.journal.key}'"):
            self.client.set_tag(child.info.run_id, PARENT, run_id)

    def _params(self, at: int, params: dict[str, str]) -> Facts:
        self.client.log_batch(self.run_id, params=[Param(key, value) for key, value in params.items()])
        return None

    def _tags(self, at: int, tags: dict[str, str]) -> Facts:
        named = {key: self.run_id if value == self.journal.key else value for key, value in tags.items()}
        self.client.log_batch(self.run_id, tags=[RunTag(key, value[:5000]) for key, value in named.items()])
        return None

    def _metrics(self, at: int, values: dict[str, float], step: int) -> Facts:
        if self.recorded is None:
            self.recorded = self._recorded()
        new = {name: value for name, value in values.items() if (name, step) not in self.recorded}
        self.client.log_batch(self.run_id, metrics=[Metric(name, value, at, step) for name, value in new.items()])
        # a resumed training counts its steps on; what a machine does is told apart by its time
        self.recorded |= {(name, step) for name in new if not name.startswith(SYSTEM)}
        return None

    def _recorded(self) -> set[tuple[str, int]]:
        return {
            (name, point.step)
            for name in self.client.get_run(self.run_id).data.metrics
            if not name.startswith(SYSTEM)
            for point in self.client.get_metric_history(self.run_id, name)
        }

    def _dataset(self, at: int, dataset: dict[str, Any], context: str) -> Facts:
        tags = [InputTag("mlflow.data.context", context)]
        self.client.log_inputs(self.run_id, [DatasetInput(Dataset(**dataset), tags)])
        return None

    def _artifact(self, at: int, kept: str, parent: str | None) -> Facts:
        self.client.log_artifact(self.run_id, str(self.journal.folder / kept), parent)
        return None

    def _model(self, at: int, kept: str, step: int, register: bool, scores: dict[str, float]) -> Facts:
        models = Models(self.client, self.experiment_id, self.run_id)
        model_id = models.logged() or models.log(self.journal.folder / kept, step)
        if not register:
            return None
        version = models.version() or models.register(model_id, self.journal.experiment, scores)
        self.client.set_tag(self.run_id, "result.model_version", version)
        return {"model_version": version}

    def _close_children(self, at: int) -> Facts:
        self._close(f"attributes.status = 'RUNNING' and tags.`{PARENT}` = '{self.run_id}'", at)
        return None

    def _close(self, lost: str, before: int) -> None:
        """Mark runs as killed that still count as running, but that nobody has run since `before`."""
        for run in self.client.search_runs([self.experiment_id], f"{lost} and attributes.start_time < {before}"):
            self.client.set_terminated(run.info.run_id, "KILLED")

    def _end(self, at: int, status: str) -> Facts:
        self.client.set_terminated(self.run_id, status, at)
        return None
