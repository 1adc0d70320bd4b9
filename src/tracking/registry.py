"""Models and files in the store: logging, registration and download."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from mlflow.sentence_transformers import SENTENCE_TRANSFORMERS_DATA_PATH
from mlflow.tracking import MlflowClient
from mlflow.types import DataType, ParamSchema, ParamSpec
from sentence_transformers import SentenceTransformer

from src.config.model import HubEncoder
from src.config.tracking import NAME_LENGTH, TrackingConfig, is_missing, redact, redact_message
from src.encoder.hub import load_hub
from src.encoder.prompts import save_column_prompts
from src.tracking.kept import UnusableOperation
from src.tracking.store import (
    STORE_ERRORS,
    connect,
    default_store,
    limit_requests_outside_training,
    model_address,
    open_store,
    resolve_run,
    store_error,
    upload_timeout,
)
from src.tracking.tags import RECIPE
from src.utils.environment import library_versions
from src.utils.errors import UserError, shorten
from src.utils.files import follow_umask

EXAMPLE = ["호스트가 친절하고 방이 깨끗했어요.", "숙소가 청결하고 주인분도 다정하셨습니다."]
"""Input example of logged models, written for this project."""
OPTIONS = ParamSchema(
    [
        ParamSpec("prompt_name", DataType.string, None),
        ParamSpec("prompt", DataType.string, None),
        ParamSpec("normalize_embeddings", DataType.boolean, False),
        ParamSpec("truncate_dim", DataType.long, None),
    ]
)
"""Arguments of `encode` that a request to a served model can set, such as `"params": {"prompt_name": "query"}`."""
EXPORTS = "export"
"""Folder of the exports among the files of a run and of a logged model."""
MODEL_LIBRARIES = ("torch", "transformers", "sentence-transformers")


@dataclass(frozen=True)
class Measured:
    """Metrics of a model."""

    metrics: dict[str, float]
    dataset: dict[str, str] | None
    """Name and digest of the data set they were measured on, None if unknown."""
    step: int
    at: int
    """Unix time in milliseconds."""


def log_model(client: MlflowClient, run_id: str, folder: Path, name: str, measured: Measured) -> str:
    """Log the encoder in a folder with signature, input example and metrics; return the model's id.

    A run that has a model already keeps it. A point in `name`, which MLflow does not accept, becomes an underscore.

    The remains of an interrupted upload are deleted. MLflow's own `log_model` would use and change the active run,
    experiment and store of the process, which may belong to a notebook.

    Raises `UnusableOperation` if the encoder cannot be loaded.
    """
    run = client.get_run(run_id)
    experiment_id = run.info.experiment_id
    for model in list(client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")):
        if model.status == LoggedModelStatus.READY:
            return str(model.model_id)
        client.delete_logged_model(model.model_id)
    try:
        encoder = load_hub(HubEncoder(path=str(folder)))
    except UserError as error:
        raise UnusableOperation(str(error)) from error
    model = client.create_logged_model(experiment_id, name.replace(".", "_"), run_id, params=run.data.params)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=measured.step)])
    _log_metrics(client, run_id, str(model.model_id), measured)
    with TemporaryDirectory() as scratch, upload_timeout():
        save_logged_model(encoder, model, run_id, Path(scratch) / "model")
        follow_umask(Path(scratch) / "model")
        client.log_model_artifacts(model.model_id, str(Path(scratch) / "model"))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return str(model.model_id)


def log_measured(client: MlflowClient, run_id: str, measured: Measured) -> None:
    """Log metrics of the model of a run, or of the run alone if its model is not in the store."""
    experiment_id = client.get_run(run_id).info.experiment_id
    models = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    ready = [str(model.model_id) for model in models if model.status == LoggedModelStatus.READY]
    _log_metrics(client, run_id, ready[0] if ready else None, measured)


def _log_metrics(client: MlflowClient, run_id: str, model_id: str | None, measured: Measured) -> None:
    """Log the metrics of a model; MLflow also records them as values of the run."""
    key = measured.dataset or {}
    metrics = [
        Metric(name, value, measured.at, measured.step, model_id, key.get("name"), key.get("digest"), run_id)
        for name, value in measured.metrics.items()
    ]
    client.log_batch(run_id, metrics=metrics)


def save_logged_model(encoder: SentenceTransformer, model: LoggedModel, run_id: str, folder: Path) -> None:
    """Write the encoder in MLflow's format, with signature, input example and requirements."""
    versions, signature = library_versions(), infer_signature(EXAMPLE, encoder.encode(EXAMPLE))
    signature.params = OPTIONS
    mlflow.sentence_transformers.save_model(
        encoder,
        str(folder),
        mlflow_model=Model(model.artifact_location, run_id, model_uuid=model.model_id, model_id=model.model_id),
        signature=signature,
        input_example=EXAMPLE,
        pip_requirements=[f"{name}=={versions[f'version.{name}'].split('+')[0]}" for name in MODEL_LIBRARIES],
    )
    save_column_prompts(encoder, folder / SENTENCE_TRANSFORMERS_DATA_PATH)


def register_model(client: MlflowClient, run_id: str, model_id: str, name: str, scores: dict[str, float]) -> str:
    """Register the model of a run as a new version of `name`, unless it is registered; return the version.

    The scores and the recipe become tags of the version, because its page in the MLflow UI shows no metrics.
    """
    found = client.search_model_versions(f"run_id = '{run_id}'")
    if found:
        return str(found[0].version)
    with suppress(MlflowException):  # the name exists from an earlier run
        client.create_registered_model(name)
    recipe = client.get_run(run_id).data.tags.get(RECIPE)
    tags = {score: f"{value:.4f}" for score, value in scores.items()} | ({RECIPE: recipe} if recipe else {})
    with default_store(client):  # an SQLite store looks the model up in MLflow's default store
        version = client.create_model_version(name, f"models:/{model_id}", run_id=run_id, tags=tags, model_id=model_id)
    return str(version.version)


def log_export(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Log an export folder as files of a run and, if that still exists, of its logged model."""
    place, experiment_id = f"{EXPORTS}/{folder.name}", client.get_run(run_id).info.experiment_id
    with upload_timeout():
        client.log_artifacts(run_id, str(folder), place)
        for model in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
            if model.status == LoggedModelStatus.READY:
                client.log_model_artifacts(model.model_id, str(folder), place)


def log_files(uri: str, experiment: str, name: str, files: list[Path], tags: dict[str, str]) -> str:
    """Record files in a new, finished run of `experiment` with this name, and return its id.

    Raises `UserError` if the store cannot be used.
    """
    limit_requests_outside_training()
    tracking = TrackingConfig(uri=uri)
    try:
        client, experiment_id = open_store(tracking, experiment)
        run_id = str(client.create_run(experiment_id, tags=tags, run_name=name[:NAME_LENGTH]).info.run_id)
        status = "FAILED"
        try:
            for file in files:
                client.log_artifact(run_id, str(file))
            status = "FINISHED"
        finally:
            client.set_terminated(run_id, status)
    except STORE_ERRORS as error:
        raise store_error(error, uri) from error
    return run_id


def download_model(address: str, uri: str, folder: Path) -> Path:
    """Copy the model at a registry address such as models:/review_sts/3 into `folder`; return its encoder's folder.

    Raises `UserError` if the store cannot be read, or has no such sentence-transformers model.
    """
    expected = f"model={address}: expected a registered model in {redact(uri)}"
    advice = "give models:/NAME/VERSION as `make ui` shows it under Models, or set tracking.uri"
    if is_missing(uri):
        raise UserError(f"{expected}, found no such file (from {Path.cwd()}): train first, or set tracking.uri.")
    limit_requests_outside_training()
    try:
        client = connect(uri)
        source = model_address(client, address)
        copy = Path(mlflow.artifacts.download_artifacts(source, dst_path=str(folder), tracking_uri=client.tracking_uri))
        data = Model.load(copy).flavors["sentence_transformers"]
    except STORE_ERRORS as error:
        raise UserError(f"{expected}, found: {shorten(redact_message(str(error), uri))}: {advice}.") from error
    except KeyError as error:
        raise UserError(f"{expected} of sentence-transformers, found another kind: {advice}.") from error
    return copy / str(data.get("data", SENTENCE_TRANSFORMERS_DATA_PATH))


def download_result(reference: str, uri: str, folder: Path, files: Iterable[str]) -> Path:
    """Copy artifacts of a run into `folder` and return it; files that the run lacks are skipped.

    `reference` is a run id, a run name, an experiment (its latest finished run) or a models:/ address.

    Raises `UserError` if the store cannot be read, or has no such run.
    """
    expected = f"{reference}: expected an experiment folder, or a run, an experiment or a models:/ address in"
    limit_requests_outside_training()
    try:
        client = connect(uri)
        run_id = resolve_run(client, reference)
        recorded = {each.path for each in client.list_artifacts(run_id)}
        folder.mkdir(parents=True, exist_ok=True)
        for name in recorded.intersection(files):
            client.download_artifacts(run_id, name, str(folder))
    except STORE_ERRORS as error:
        found = shorten(redact_message(str(error), uri))
        raise UserError(f"{expected} {redact(uri)}, found: {found}: check the name and --uri.") from error
    return folder


def recorded_provenance(reference: str, uri: str) -> dict[str, str]:
    """Return the tags of a run, and the digests of its pairs under the keys `training` and `evaluation`."""
    client = connect(uri)
    run = client.get_run(resolve_run(client, reference))
    digests = {given.tags[0].value: given.dataset.digest for given in run.inputs.dataset_inputs}
    return {**run.data.tags, **digests}
