"""The MLflow store: opened once for several processes, searched, and told parameters."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version
from mlflow.tracking import MlflowClient

from src.config.tracking import TrackingConfig
from src.tracking.view import view_tags


def open_store(tracking: TrackingConfig, experiment: str) -> tuple[MlflowClient, str]:
    """Return a client of the store and the id of the experiment, made if it is new."""
    mlflow.set_tracking_uri(tracking.uri)
    if not tracking.uri.startswith("sqlite:///"):
        client = MlflowClient()
        return client, _experiment_id(client, experiment, tracking.artifacts)
    database = Path(tracking.uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    # the schema is made at the first use: two processes doing so at once would break each other's
    with FileLock(f"{database}.lock"):
        client = MlflowClient()
        return client, _experiment_id(client, experiment, tracking.artifacts)


def _experiment_id(client: MlflowClient, name: str, artifacts: str | None) -> str:
    known = client.get_experiment_by_name(name)
    if known:
        return str(known.experiment_id)
    location = None if artifacts is None else (Path(artifacts) / name).resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=location, tags=view_tags()))


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names with their values, depth first."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def find_run(client: MlflowClient, reference: str) -> str:
    """Return a run's id; raise `MlflowException` where there is none."""
    if reference.startswith("models:/"):
        return _run_of_model(client, reference)
    with suppress(MlflowException):
        return str(client.get_run(reference).info.run_id)
    experiment = client.get_experiment_by_name(reference)
    ids = [experiment.experiment_id] if experiment else [each.experiment_id for each in client.search_experiments()]
    finished = "attributes.status = 'FINISHED'"
    name = reference.replace("'", "")
    condition = finished if experiment else f"{finished} AND attributes.run_name = '{name}'"
    found = client.search_runs(ids, condition, order_by=["attributes.start_time DESC"], max_results=1)
    if not found:
        raise MlflowException("no finished run")
    return str(found[0].info.run_id)


def _run_of_model(client: MlflowClient, address: str) -> str:
    found = get_model_name_and_version(client, address)  # for models:/m-1234… that id alone
    model = client.get_logged_model(*found) if len(found) == 1 else client.get_model_version(*found)
    return str(model.source_run_id if len(found) == 1 else model.run_id)
