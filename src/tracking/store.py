"""Connection to the MLflow store: timeouts, detection of outages, experiments, and lookup of runs."""

import errno
import logging
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import mlflow
from mlflow.entities import Experiment, LifecycleStage
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import InvalidUrlException, MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.store.artifact.utils.models import get_model_name_and_version
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from src.config.tracking import (
    SQLITE,
    TrackingConfig,
    engine_uri,
    is_foreign,
    redact,
    redact_message,
    sqlite_path,
)
from src.tracking.database import create_database, database_lock, has_tables, probe_sqlite, set_damaged_store_aside
from src.tracking.relocation import mend_paths
from src.tracking.tags import JOURNAL_TAG, SHAPE
from src.tracking.views import changed_tags, is_ours
from src.utils.errors import UserError, shorten

SQLITE_OUTAGES = ("database is locked", "is full", "disk I/O error")
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
STORE_ERRORS = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)
"""Exceptions raised for a store that cannot be used."""
EXISTS = ErrorCode.Name(RESOURCE_ALREADY_EXISTS)
"""Error code of what another process has made already."""

logging.getLogger("alembic").setLevel(logging.ERROR)
logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # logs errors that it raises as well


def limit_requests_in_training() -> None:
    """Let requests to a server fail soon, without retries: the journal sends again. Environment variables prevail."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def limit_requests_outside_training() -> None:
    """Limit requests outside a training run to two retries. Environment variables prevail.

    With MLflow's default, a server that is down costs minutes.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")


@contextmanager
def upload_timeout() -> Iterator[None]:
    """Raise the request timeout to at least MLflow's default during the block, which uploads a large file."""
    former = MLFLOW_HTTP_REQUEST_TIMEOUT.get()
    MLFLOW_HTTP_REQUEST_TIMEOUT.set(max(former, MLFLOW_HTTP_REQUEST_TIMEOUT.default))
    try:
        yield
    finally:
        MLFLOW_HTTP_REQUEST_TIMEOUT.set(former)


def is_outage(error: Exception, uri: str) -> bool:
    """Return whether the error may be temporary: the store is unreachable, overloaded, locked or out of space."""
    if isinstance(error, OSError):
        return isinstance(error, TimeoutError | ConnectionError) or error.errno in DISK_ERRORS
    if uri.startswith(SQLITE):
        return any(message in str(error) for message in SQLITE_OUTAGES)
    status = error.get_http_status_code() if isinstance(error, MlflowException) else 400
    return not isinstance(error, InvalidUrlException) and (status >= 500 or status == 429)


def store_error(error: Exception, uri: str) -> UserError:
    """Return the error to show for a store that cannot be used."""
    found = shorten(redact_message(f"{type(error).__name__}: {error}", uri))
    return UserError(
        f"tracking.uri={redact(uri)}: expected an MLflow store that answers, found {found}:"
        f" {'check the file and its permissions' if sqlite_path(uri) else 'start it'}, or set another tracking.uri."
    )


def connect(uri: str) -> MlflowClient:
    """Return a client of the store and its registry; correct the paths of artifacts of a moved SQLite file.

    Raises `MlflowException` for an SQLite file of another program, to which MLflow would add its tables.
    """
    if is_foreign(uri):
        raise MlflowException("a database of another program")
    mend_paths(uri)
    return MlflowClient(engine_uri(uri), registry_uri=engine_uri(uri))


@contextmanager
def default_store(client: MlflowClient) -> Iterator[None]:
    """Make the store of `client` MLflow's default for the block, then restore that of the caller.

    Only for the few functions of MLflow that take no client.
    """
    former = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(former)


def open_store(tracking: TrackingConfig, experiment: str) -> tuple[MlflowClient, str]:
    """Return a client and the id of the experiment; create the store and the experiment if they do not exist.

    A damaged SQLite file is set aside.
    """
    database = sqlite_path(tracking.uri)
    if database is None:
        client = connect(tracking.uri)
        return client, _experiment_id(client, experiment, tracking)
    database.parent.mkdir(parents=True, exist_ok=True)
    # MLflow creates the tables on the first request, which fails if two processes do so at the same time
    with database_lock(database):
        set_damaged_store_aside(database)
        create_database(database)
        probe_sqlite(tracking.uri)
        client = connect(tracking.uri)
        return client, _experiment_id(client, experiment, tracking)


def _experiment_id(client: MlflowClient, name: str, tracking: TrackingConfig) -> str:
    known = client.get_experiment_by_name(name)
    if known is None:
        folder = tracking.artifacts_folder
        location = folder and (folder / name).resolve().as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=changed_tags({})))
        except MlflowException as error:
            if error.error_code != EXISTS:
                raise
        known = client.get_experiment_by_name(name)  # another machine has made it in this moment
    if known.lifecycle_stage == LifecycleStage.DELETED:
        restore = f"MLFLOW_TRACKING_URI={tracking.uri} mlflow experiments restore --experiment-id {known.experiment_id}"
        raise UserError(
            f"name={name}: expected an experiment in {redact(tracking.uri)}, found it deleted: restore it with"
            f" {restore}, or give the run another name=NAME."
        )
    set_views(client, known)
    return str(known.experiment_id)


def set_views(client: MlflowClient, experiment: Experiment) -> None:
    """Give an experiment, which an earlier version may have made, the views of this version."""
    for key, value in changed_tags(experiment.tags).items():
        client.set_experiment_tag(experiment.experiment_id, key, value)


def show_shape(client: MlflowClient, experiment_id: str, shape: str) -> None:
    """Let the views of an experiment show the metrics of a shape of examples, that of its latest run."""
    if client.get_experiment(experiment_id).tags.get(SHAPE) != shape:
        client.set_experiment_tag(experiment_id, SHAPE, shape)
        set_views(client, client.get_experiment(experiment_id))


def list_experiments(uri: str) -> dict[str, str]:
    """Return the ids of the project's experiments by name, the last used first; give them the views of this version.

    Raises `UserError` if the store cannot be used.
    """
    limit_requests_outside_training()
    try:
        probe_sqlite(uri)
        client = connect(uri)
        found = client.search_experiments(order_by=["last_update_time DESC"])
        ours = [each for each in found if is_ours(each.tags)]
        for each in ours:
            set_views(client, each)
    except STORE_ERRORS as error:
        raise store_error(error, uri) from error
    return {each.name: str(each.experiment_id) for each in ours}


def experiments_of(uri: str, runs: Iterable[str]) -> dict[str, str]:
    """Return the experiments of runs by run id; empty if the store cannot be read or lacks one of the runs.

    `runs`: ids or journal keys.
    """
    limit_requests_in_training()
    try:
        if not has_tables(uri):
            return {}
        client = connect(uri)
        found = [client.get_run(find_run_id(client, each) or each).info for each in runs]
    except STORE_ERRORS:
        return {}
    return {each.run_id: each.experiment_id for each in found}


def find_run_id(client: MlflowClient, name: str, experiment_ids: list[str] | None = None) -> str | None:
    """Return the id of the run with this id or journal key, None if there is none.

    With `experiment_ids` only runs with the journal key in these experiments are considered.
    """
    if experiment_ids is None:
        with suppress(MlflowException):
            return str(client.get_run(name).info.run_id)
        experiment_ids = [each.experiment_id for each in client.search_experiments()]
    key = name.replace("'", "")
    found = client.search_runs(experiment_ids, f"tags.{JOURNAL_TAG} = '{key}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def resolve_run(client: MlflowClient, reference: str) -> str:
    """Return the id of the run that `reference` names; raise `MlflowException` if there is none.

    A reference is a run id, a journal key, a run name, an experiment (its latest finished run) or a models:/ address.
    """
    if reference.startswith("models:/"):
        return _run_of_model(client, reference)
    run_id = find_run_id(client, reference)
    if run_id:
        return run_id
    experiment = client.get_experiment_by_name(reference)
    ids = [experiment.experiment_id] if experiment else [each.experiment_id for each in client.search_experiments()]
    finished = "attributes.status = 'FINISHED'"
    pattern = re.sub(r"['\"\\]", "_", reference)  # a filter cannot hold every name
    condition = finished if experiment else f"{finished} AND attributes.run_name LIKE '{pattern}'"
    for run in client.search_runs(ids, condition, order_by=["attributes.start_time DESC"]):
        if experiment or run.info.run_name == reference:
            return str(run.info.run_id)
    raise MlflowException("no finished run")


def _run_of_model(client: MlflowClient, address: str) -> str:
    found = get_model_name_and_version(client, address)  # one element, the model's id, for models:/m-1234…
    model = client.get_logged_model(*found) if len(found) == 1 else client.get_model_version(*found)
    return str(model.source_run_id if len(found) == 1 else model.run_id)


def model_address(client: MlflowClient, address: str) -> str:
    """Return the address of the files of a models:/ address; raise `MlflowException` if there is no such model."""
    found = get_model_name_and_version(client, address)
    if len(found) == 1:
        return str(client.get_logged_model(*found).artifact_location)
    return str(client.get_model_version_download_uri(*found))
