"""Logged models of an experiment: their scores and sizes, and which of them are needed."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mlflow.entities import Experiment, LifecycleStage, LoggedModel, LoggedModelStatus, ViewType
from mlflow.entities import Run as Recorded
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from src.evaluation.metrics import Metric, leading_metric
from src.tracking.model_files import MODEL_ID, ModelFiles, files_problem, open_files, read_description
from src.tracking.views import shape_in

MISSING = "RESOURCE_DOES_NOT_EXIST"
ACTIVE = ("RUNNING", "SCHEDULED")
"""Statuses of a run that may still upload its model."""


@dataclass(frozen=True)
class PrunedModel:
    """A model, and whether it is to be removed."""

    experiment: str
    run_name: str
    run_id: str
    model_id: str
    metric: Metric
    """The leading metric of its run."""
    score: float
    """Its reported value; minus infinity if there is none."""
    size: int
    """Bytes of its files."""
    removable: bool
    reason: str
    """Why it is kept or removed."""
    files: ModelFiles = field(repr=False)
    is_marked: bool = False
    """Whether the store has already marked it as deleted."""


class Survey:
    """The models of an experiment and what is known about them.

    Read in this order, so that a training that goes on at the same time shows no model without its run or version.
    """

    def __init__(self, client: MlflowClient, experiment: Experiment, keep: int) -> None:
        self.client, self.experiment = client, experiment
        self.files = open_files(client, experiment.artifact_location)
        self.on_disk = self.files.ids()
        self.models: list[LoggedModel] = pages_of(client.search_logged_models, [experiment.experiment_id])
        runs = pages_of(client.search_runs, [experiment.experiment_id], run_view_type=ViewType.ALL)
        self.runs: dict[str, Recorded] = {run.info.run_id: run for run in runs}
        self.registered = registered(client)
        self.scores = {model.model_id: _score(model, self.runs.get(model.source_run_id)) for model in self.models}
        self.models.sort(key=lambda model: (self.scores[model.model_id], model.creation_timestamp), reverse=True)
        self.best = self._best(keep)

    def _best(self, keep: int) -> dict[str, str]:
        """Return the ranks of the best `keep` models for each leading metric, in words by the models' ids."""
        complete: dict[str, list[str]] = {}
        for model in self.models:
            run = self.runs.get(model.source_run_id)
            if _is_complete(model, run):
                complete.setdefault(_metric(run).name, []).append(model.model_id)
        chosen = (enumerate(ids[:keep], start=1) for ids in complete.values())
        return {model_id: f"best {rank} of {keep}" for ranks in chosen for rank, model_id in ranks}

    def pruned(self) -> Iterator[PrunedModel]:
        """Yield the models, the best first, then those that were deleted and whose files are still there."""
        for model in self.models:
            model_id, run = model.model_id, self.runs.get(model.source_run_id)
            if run is None:
                yield self._pruned(model_id, None, kept="not of a run")
                continue
            kept = in_use(run, model_id, self.registered) or self.best.get(model_id)
            problem = kept or self._files_problem(model_id, model.artifact_location)
            yield self._pruned(model_id, run, kept=problem, why=_why(model, run))
        for model_id in sorted(set(self.on_disk) - self.scores.keys()):
            # a model of another store that shares the folder names a run that is not here
            run = self.runs.get(read_description(self.files, model_id).get("run_id", ""))
            if run and _is_deleted(self.client, model_id):
                kept = in_use(run, model_id, self.registered) or self._files_problem(model_id)
                yield self._pruned(model_id, run, kept=kept, why="files of a deleted model", is_marked=True)

    def _files_problem(self, model_id: str, location: str | None = None) -> str | None:
        return files_problem(self.files, self.experiment.artifact_location, model_id, location)

    def _pruned(
        self, model_id: str, run: Recorded | None, kept: str | None, why: str = "", is_marked: bool = False
    ) -> PrunedModel:
        return PrunedModel(
            experiment=self.experiment.name,
            run_name=run.info.run_name if run else "",
            run_id=run.info.run_id if run else "",
            model_id=model_id,
            metric=_metric(run),
            score=self.scores.get(model_id, -math.inf),
            size=self.files.size(model_id) if MODEL_ID.fullmatch(model_id) else 0,
            removable=kept is None,
            reason=kept or why,
            files=self.files,
            is_marked=is_marked,
        )


def _is_deleted(client: MlflowClient, model_id: str) -> bool:
    try:
        client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code == MISSING:
            return True
        raise
    return False


def in_use(run: Recorded, model_id: str, registered: dict[str, str]) -> str | None:
    """Return the reason for which a model must not be removed whatever its score, None if there is none."""
    run_id = run.info.run_id
    if name := registered.get(model_id) or registered.get(run_id):
        return f"registered as {name}"
    return "running" if run.info.status in ACTIVE else None


def _is_complete(model: LoggedModel, run: Recorded | None) -> bool:
    """Return whether a model competes with others: uploaded completely, of a run that has ended and is not deleted."""
    if run is None or run.info.status in ACTIVE or run.info.lifecycle_stage == LifecycleStage.DELETED:
        return False
    return bool(model.status == LoggedModelStatus.READY)


def _why(model: LoggedModel, run: Recorded) -> str:
    if run.info.lifecycle_stage == LifecycleStage.DELETED:
        return "run deleted"
    return "neither registered nor among the best" if _is_complete(model, run) else "incomplete upload"


def _metric(run: Recorded | None) -> Metric:
    """Return the leading metric of a run."""
    return leading_metric(shape_in(run.data.tags if run else {}))


def _score(model: LoggedModel, run: Recorded | None) -> float:
    """Return the latest leading metric of a model, else of its run; minus infinity if there is none."""
    name = _metric(run).name
    found = [metric for metric in model.metrics or () if metric.key == name]
    latest = max(found, key=lambda metric: (metric.timestamp, metric.step), default=None)
    score = latest.value if latest else run.data.metrics.get(name, math.nan) if run else math.nan
    return score if math.isfinite(score) else -math.inf


def registered(client: MlflowClient) -> dict[str, str]:
    """Return the registered versions as NAME/VERSION, with their aliases, by id of their model and of their run."""
    names: dict[str, str] = {}
    aliases: dict[tuple[str, str], list[str]] = {}
    for model in pages_of(client.search_registered_models):
        for alias, version in model.aliases.items():
            aliases.setdefault((model.name, str(version)), []).append(alias)
    for version in pages_of(client.search_model_versions):
        given = sorted(aliases.get((version.name, str(version.version)), []))
        shown = ", ".join([f"{version.name}/{version.version}", *given])
        keys = (version.model_id, version.run_id, *MODEL_ID.findall(str(version.source or "")))
        names |= {key: shown for key in keys if key}
    return names


def pages_of(search: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """Return the results of a search of MLflow on all its pages."""
    page = search(*arguments, **options)
    found = list(page)
    while page.token:
        page = search(*arguments, **options, page_token=page.token)
        found += page
    return found
