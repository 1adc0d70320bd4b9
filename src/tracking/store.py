"""The MLflow store: opened once for several processes, and searched."""

from contextlib import suppress
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version
from mlflow.tracking import MlflowClient

from src.config.tracking import TrackingConfig
from src.files import replacing
from src.tracking.outage import SQLITE, wait_for_turn
from src.tracking.view import view_tags

PARENT = "mlflow.parentRunId"
"""Tag that makes a run the child of another."""
JOURNAL_TAG = "journal"
"""Tag with the key of the journal that a run was sent from: its name before the store knew it."""


def open_store(tracking: TrackingConfig, experiment: str) -> tuple[MlflowClient, str]:
    """Return a client of the store and the id of the experiment, made if it is new."""
    mlflow.set_tracking_uri(tracking.uri)
    if not tracking.uri.startswith(SQLITE):
        client = MlflowClient()
        return client, _experiment_id(client, experiment, tracking.artifacts)
    database = Path(tracking.uri.removeprefix(SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    # the schema is made at the first use: two processes doing so at once would break each other's
    with FileLock(f"{database}.lock", timeout=60):
        if not database.exists():
            with replacing(database) as draft:  # a process that is killed must not leave half a schema
                MlflowClient(f"{SQLITE}{draft}").search_experiments()
        wait_for_turn(tracking.uri)
        client = MlflowClient()
        return client, _experiment_id(client, experiment, tracking.artifacts)


def _experiment_id(client: MlflowClient, name: str, artifacts: str | None) -> str:
    known = client.get_experiment_by_name(name)
    if known:
        return str(known.experiment_id)
    location = None if artifacts is None else (Path(artifacts) / name).resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=location, tags=view_tags()))


def run_named(client: MlflowClient, name: str, experiment_ids: list[str] | None = None) -> str | None:
    """Return the id of the run with this id or this key of a journal, None if there is none.

    With `experiment_ids` only keys are looked for, and only there.
    """
    if experiment_ids is None:
        with suppress(MlflowException):
            return str(client.get_run(name).info.run_id)
        experiment_ids = [each.experiment_id for each in client.search_experiments()]
    key = name.replace("'", "")
    found = client.search_runs(experiment_ids, f"tags.{JOURNAL_TAG} = '{key}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def find_run(client: MlflowClient, reference: str) -> str:
    """Return a run's id; raise `MlflowException` where there is none."""
    if reference.startswith("models:/"):
        return _run_of_model(client, reference)
    known = run_named(client, reference)
    if known:
        return known
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
