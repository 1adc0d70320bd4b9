"""Removal of logged models that are neither registered nor among the best of their experiment.

A model is first marked as deleted, so that no page shows one without files, then its files are removed. Where this was
interrupted, the files of a model that the store has given up are found in the experiment's folder.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow.entities import Experiment, LifecycleStage, LoggedModel, LoggedModelStatus, ViewType
from mlflow.entities import Run as Recorded
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from rich.progress import track

from src.config.tracking import redact, redact_message
from src.evaluation.metrics import Metric, leading_metric
from src.tracking.database import has_tables
from src.tracking.model_files import MODEL_ID, ModelFiles, files_problem, open_files, read_description
from src.tracking.store import STORE_ERRORS, connect, limit_requests_outside_training, store_error
from src.tracking.views import is_ours, shape_in
from src.utils.console import console
from src.utils.errors import UserError, shorten

MISSING = "RESOURCE_DOES_NOT_EXIST"
ACTIVE = ("RUNNING", "SCHEDULED")
"""Statuses of a run that may still upload its model."""

log = logging.getLogger(__name__)


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


def list_models(uri: str, experiments: list[str], keep: int) -> list[PrunedModel]:
    """Return all models of the named experiments, by default of this project's, with what is to become of them.

    Kept are registered models, those of running runs and the best `keep` of each experiment and leading metric.

    Raises `UserError` if the store cannot be read or lacks an experiment.
    """
    limit_requests_outside_training()
    try:
        if not has_tables(uri):
            return []
        client = connect(uri)
        chosen = _experiments(client, experiments, uri)
        return [model for each in tracked(chosen, "Looking") for model in _models_of(client, each, keep)]
    except STORE_ERRORS as error:
        raise store_error(error, uri) from error


def remove_models(uri: str, models: list[PrunedModel]) -> list[PrunedModel]:
    """Remove the removable ones of the models; return those that are gone.

    One that has been registered, or whose run has been resumed, since it was listed is left, with a warning.

    Raises `UserError` if the store cannot be used or does not remove files.
    """
    client, removed = connect(uri), []
    to_remove = [model for model in models if model.removable]
    for model in tracked(to_remove, "Removing"):
        try:
            if reason := _in_use(client.get_run(model.run_id), model.model_id, _registered(client)):
                log.warning(f"{model.model_id}: {reason} by now, and left as it is")
                continue
            if not model.is_marked:
                _ignore_missing(client.delete_logged_model, model.model_id)
            model.files.remove(model.model_id)
            left = model.files.size(model.model_id)
        except STORE_ERRORS as error:
            raise _removal_error(uri, model, shorten(redact_message(str(error), uri))) from error
        if left:
            raise _removal_error(uri, model, "them left")
        removed.append(model)
    return removed


def _removal_error(uri: str, model: PrunedModel, found: str) -> UserError:
    return UserError(
        f"{redact(uri)}: expected to remove the files of {model.model_id}, found {found}: allow it (permissions, or"
        " the server's --serve-artifacts), then give the same command again, which removes what is left."
    )


def _experiments(client: MlflowClient, names: list[str], uri: str) -> list[Experiment]:
    known = {each.name: each for each in _pages(client.search_experiments)}
    for name in names:
        if name not in known:
            raise UserError(
                f"--experiment {name}: expected an experiment in {redact(uri)}, found {', '.join(sorted(known))}:"
                " give one of these."
            )
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    return [each for each in known.values() if is_ours(each.tags)]


class _Survey:
    """The models of an experiment and what is known about them.

    Read in this order, so that a training that goes on at the same time shows no model without its run or version.
    """

    def __init__(self, client: MlflowClient, experiment: Experiment, keep: int) -> None:
        self.client, self.experiment = client, experiment
        self.files = open_files(client, experiment.artifact_location)
        self.on_disk = self.files.ids()
        self.models: list[LoggedModel] = _pages(client.search_logged_models, [experiment.experiment_id])
        runs = _pages(client.search_runs, [experiment.experiment_id], run_view_type=ViewType.ALL)
        self.runs: dict[str, Recorded] = {run.info.run_id: run for run in runs}
        self.registered = _registered(client)
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
            kept = _in_use(run, model_id, self.registered) or self.best.get(model_id)
            problem = kept or self._files_problem(model_id, model.artifact_location)
            yield self._pruned(model_id, run, kept=problem, why=_why(model, run))
        for model_id in set(self.on_disk) - self.scores.keys():
            # a model of another store that shares the folder names a run that is not here
            run = self.runs.get(read_description(self.files, model_id).get("run_id", ""))
            if run and _is_deleted(self.client, model_id):
                kept = _in_use(run, model_id, self.registered) or self._files_problem(model_id)
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


def _models_of(client: MlflowClient, experiment: Experiment, keep: int) -> list[PrunedModel]:
    try:
        return list(_Survey(client, experiment, keep).pruned())
    except UserError as error:
        if client.search_logged_models([experiment.experiment_id], max_results=1):
            log.warning(f"{experiment.name}: {error}")
        return []


def tracked(items: Sequence[Any], title: str) -> Iterable[Any]:
    """Return the items; a progress bar on a terminal counts them."""
    return track(items, title, console=console, transient=True, disable=not console.is_terminal)


def _is_deleted(client: MlflowClient, model_id: str) -> bool:
    try:
        client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code == MISSING:
            return True
        raise
    return False


def _ignore_missing(call: Callable[[str], object], model_id: str) -> None:
    """Call with a model that another process may have deleted meanwhile."""
    try:
        call(model_id)
    except MlflowException as error:
        if error.error_code != MISSING:
            raise


def _in_use(run: Recorded, model_id: str, registered: dict[str, str]) -> str | None:
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


def _registered(client: MlflowClient) -> dict[str, str]:
    """Return the registered versions as NAME/VERSION, with their aliases, by id of their model and of their run."""
    names: dict[str, str] = {}
    aliases: dict[tuple[str, str], list[str]] = {}
    for model in _pages(client.search_registered_models):
        for alias, version in model.aliases.items():
            aliases.setdefault((model.name, str(version)), []).append(alias)
    for version in _pages(client.search_model_versions):
        given = sorted(aliases.get((version.name, str(version.version)), []))
        shown = ", ".join([f"{version.name}/{version.version}", *given])
        keys = (version.model_id, version.run_id, *MODEL_ID.findall(str(version.source or "")))
        names |= {key: shown for key in keys if key}
    return names


def _pages(search: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """Return the results of a search of MLflow on all its pages."""
    page = search(*arguments, **options)
    found = list(page)
    while page.token:
        page = search(*arguments, **options, page_token=page.token)
        found += page
    return found
