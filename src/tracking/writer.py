"""Writer of a journal's operations to the MLflow store; each operation is recorded once, even if it is sent twice."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, Run, RunTag

from src.config.tracking import TrackingConfig, redact
from src.tracking.database import probe_sqlite
from src.tracking.journal import Journal
from src.tracking.operations import Operation
from src.tracking.registry import Measured, log_export, log_measured, log_model, register_model
from src.tracking.store import find_run_id, open_store, show_shape
from src.tracking.tags import JOURNAL_TAG, PARENT, SHAPE
from src.tracking.views import children_view, shape_in
from src.utils.errors import UserError

SYSTEM = "system/"
"""Prefix of the names of system metrics."""
Facts = dict[str, str] | None
"""Values from the store to keep in the journal, if any."""


class StoreWriter:
    """Record the operations of one run.

    An operation is sent again after a crash, or if the store's response was lost.
    """

    def __init__(self, journal: Journal, tracking: TrackingConfig) -> None:
        self.journal = journal
        self.tracking = tracking
        self.client, self.experiment_id = open_store(tracking, journal.header.experiment)
        self.recorded: dict[tuple[str, int], float] | None = None
        """Latest values in the store by name and step; None until they have been read."""
        if "run_id" in journal.facts:
            self._check_deleted(journal.run_id)
        self.handlers: dict[str, Callable[..., Facts]] = {
            "open": self._open,
            "params": self._params,
            "tags": self._tags,
            "metrics": self._metrics,
            "dataset": self._dataset,
            "artifact": self._artifact,
            "model": self._model,
            "export": self._export,
            "measured": self._measured,
            "close_children": self._close_children,
            "end": self._end,
        }

    def send(self, operation: Operation) -> dict[str, str]:
        """Record an operation; return the values to keep in the journal: the run's id, the version of its model."""
        probe_sqlite(self.tracking.uri)
        return self.handlers[operation.name](operation.at, **operation.values) or {}

    @property
    def run_id(self) -> str:
        """The run's id in the store, once `open` has been recorded."""
        return self.journal.run_id

    def _open(self, at: int, new: bool, tags: dict[str, str]) -> Facts:
        run_id = find_run_id(self.client, self.run_id, [self.experiment_id] if new else None)
        if run_id is None and not new:
            raise UserError(
                f"{redact(self.tracking.uri)}: expected the unfinished run {self.run_id}, found no such run: set "
                "trainer.resume=never to start anew, or restore the store."
            )
        if run_id is None:
            folder = str(self.journal.experiment_folder.resolve())
            self._kill_stale("", at, folder=folder)
            tags = {**tags, "folder": folder, JOURNAL_TAG: self.journal.key}
            if PARENT in tags:
                tags[PARENT] = find_run_id(self.client, tags[PARENT]) or tags[PARENT]
            run_id = str(self.client.create_run(self.experiment_id, start_time=at, tags=tags).info.run_id)
            self.recorded = {}
        else:
            self._check_deleted(run_id)
        if new:
            self._adopt_children(run_id)
        self._show_shape(tags)
        if is_sweep := tags.get("role") == "sweep":
            self._save_view(run_id, at)
        # a finished run is only amended, and keeps the time of its end, unless a sweep is given more trials
        if is_sweep or not self._is_finished(run_id):
            self.client.update_run(run_id, status="RUNNING")
        return {"run_id": run_id, "experiment_id": self.experiment_id}

    def _save_view(self, run_id: str, at: int) -> None:
        """Save a view of the run's children: an address cannot have both a filter and the columns of a view."""
        name = f"Sweep {datetime.fromtimestamp(at / 1000):%Y-%m-%d %H:%M}"
        shape = shape_in(self.client.get_experiment(self.experiment_id).tags)
        for key, view in children_view(run_id, name, shape).items():
            self.client.set_experiment_tag(self.experiment_id, key, view)

    def _show_shape(self, tags: dict[str, str]) -> None:
        """Let the experiment's views show the metrics of this run, once its shape is known."""
        if SHAPE in tags:
            show_shape(self.client, self.experiment_id, tags[SHAPE])

    def _check_deleted(self, run_id: str) -> None:
        """Raise `UserError` if the run was deleted."""
        if self.client.get_run(run_id).info.lifecycle_stage == LifecycleStage.DELETED:
            restore = f"MLFLOW_TRACKING_URI={redact(self.tracking.uri)} mlflow runs restore --run-id {run_id}"
            raise UserError(
                f"{self.journal.experiment_folder}: expected its run {run_id} in {redact(self.tracking.uri)}, found it"
                f" deleted: restore it with {restore}, or set trainer.resume=never to start anew."
            )

    def _adopt_children(self, run_id: str) -> None:
        """Set the parent of child runs that were sent before this run, and so refer to it by its journal key."""
        for child in self.client.search_runs([self.experiment_id], f"tags.`{PARENT}` = '{self.journal.key}'"):
            self.client.set_tag(child.info.run_id, PARENT, run_id)

    def _params(self, at: int, params: dict[str, str]) -> None:
        self.client.log_batch(self.run_id, params=[Param(key, value) for key, value in params.items()])

    def _tags(self, at: int, tags: dict[str, str]) -> None:
        named = {key: self.run_id if value == self.journal.key else value for key, value in tags.items()}
        self.client.log_batch(self.run_id, tags=[RunTag(key, value[:5000]) for key, value in named.items()])
        self._show_shape(named)

    def _metrics(self, at: int, values: dict[str, float], step: int, reported: bool = False) -> None:
        """Record values that are new at this step; a `reported` one also if the curve has another value there."""
        if self.recorded is None:
            self.recorded = self._read_metrics()
        known = {name: self.recorded.get((name, step)) for name in values}
        new = {name: one for name, one in values.items() if known[name] is None or (reported and known[name] != one)}
        self.client.log_batch(self.run_id, metrics=[Metric(name, value, at, step) for name, value in new.items()])
        # a resumed training run continues its step count; system metrics restart at 0, with new times
        self.recorded |= {(name, step): value for name, value in new.items() if not name.startswith(SYSTEM)}

    def _read_metrics(self) -> dict[tuple[str, int], float]:
        names = [name for name in self.client.get_run(self.run_id).data.metrics if not name.startswith(SYSTEM)]
        points = [point for name in names for point in self.client.get_metric_history(self.run_id, name)]
        return {(point.key, point.step): point.value for point in sorted(points, key=lambda point: point.timestamp)}

    def _dataset(self, at: int, dataset: dict[str, Any], context: str) -> None:
        tags = [InputTag("mlflow.data.context", context)]
        self.client.log_inputs(self.run_id, [DatasetInput(Dataset(**dataset), tags)])

    def _artifact(self, at: int, kept: str, parent: str | None, late: bool = False) -> None:
        self.client.log_artifact(self.run_id, str(self.journal.locate(kept, late)), parent)

    def _model(
        self,
        at: int,
        kept: str,
        step: int,
        register: bool,
        scores: dict[str, float],
        late: bool = False,
        metrics: dict[str, float] | None = None,
        evaluated: dict[str, str] | None = None,
    ) -> Facts:
        folder, name = self.journal.locate(kept, late), self.journal.header.experiment
        measured = Measured(scores if metrics is None else metrics, evaluated, step, at)
        model_id = log_model(self.client, self.run_id, folder, name, measured)
        if not (register and self.tracking.register):
            return None
        version = register_model(self.client, self.run_id, model_id, name, scores)
        self.client.set_tag(self.run_id, "result.model_version", version)
        return {"model_version": version}

    def _export(self, at: int, kept: str, run: str, late: bool = False) -> Facts:
        """Record an export folder in its run, which has ended."""
        run_id = find_run_id(self.client, run)
        if run_id is None:
            raise UserError(
                f"{redact(self.tracking.uri)}: expected the run {run} of an exported model, found no such run: send its"
                " journal first."
            )
        self._check_deleted(run_id)
        log_export(self.client, run_id, self.journal.locate(kept, late))
        return {"run_id": run_id}

    def _measured(self, at: int, metrics: dict[str, float], evaluated: dict[str, str] | None, step: int) -> None:
        log_measured(self.client, self.run_id, Measured(metrics, evaluated, step, at))

    def _close_children(self, at: int) -> None:
        self._kill_stale(f" and tags.`{PARENT}` = '{self.run_id}'", at)

    def _kill_stale(self, condition: str, before: int, **tags: str) -> None:
        """End as KILLED the running runs that match and were started before `before`: their processes have died."""
        running = f"attributes.status = 'RUNNING' and attributes.start_time < {before}{condition}"
        for run in self.client.search_runs([self.experiment_id], running):
            if tags.items() <= run.data.tags.items():  # compared here: a filter cannot hold every name of a folder
                self._terminate(run, "KILLED", int(time.time() * 1000))

    def _end(self, at: int, status: str) -> None:
        if not self._is_finished(self.run_id):  # a finished run is only amended, also where that is interrupted
            self._terminate(self.client.get_run(self.run_id), status, at)

    def _is_finished(self, run_id: str) -> bool:
        return str(self.client.get_run(run_id).info.status) == "FINISHED"

    def _terminate(self, run: Run, status: str, at: int) -> None:
        """End a run, not before its start: the clock may have been set back."""
        self.client.set_terminated(run.info.run_id, status, max(at, run.info.start_time))
