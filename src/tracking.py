"""Runs in MLflow: parameters, curves, data sets, artifacts and models. The only module that imports mlflow.

Everything goes through `MlflowClient` with an explicit run id. The fluent interface keeps the active run in a global,
and a callback that ends it sends whatever comes later to a stray run.
"""

import logging
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from datasets import Dataset
from filelock import FileLock
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from mlflow.store.artifact.utils.models import get_model_name_and_version
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient
from sentence_transformers import SentenceTransformer

from src.config import Config
from src.config.tracking import TrackingConfig
from src.data import Origin, PairData, digest
from src.encoder import BaseModel
from src.errors import Stopped, UserError
from src.provenance import library_versions
from src.training.curve import CurveRow

EXAMPLE = ["호스트가 친절하고 방이 깨끗했어요.", "숙소가 청결하고 주인분도 다정하셨습니다."]
"""Input example of logged models, written for this project."""
PARENT = "mlflow.parentRunId"
"""Tag that makes a run the child of another."""
MODEL_LIBRARIES = ("torch", "transformers", "sentence-transformers")

for noisy in ("alembic", "mlflow"):
    logging.getLogger(noisy).setLevel(logging.ERROR)


class Run:
    """One run; a `Listener` of the training that fills its curves."""

    def __init__(self, client: MlflowClient, config: Config, run_id: str) -> None:
        self.client = client
        self.config = config
        self.run_id = run_id
        self.recorded = {
            (name, point.step)
            for name in client.get_run(run_id).data.metrics
            for point in client.get_metric_history(run_id, name)
        }
        """What a resumed run has already: it is not recorded twice."""

    def on_start(self, steps: int, step: int) -> None:
        """Nothing to record."""

    def on_values(self, step: int, values: dict[str, float]) -> None:
        """Record values of a step."""
        self.log_metrics(values, step)

    def on_row(self, row: CurveRow) -> None:
        """Record the values of an evaluation."""
        values = {"validation_loss": row.validation_loss, "epoch": row.epoch}
        self.log_metrics(
            {**values, "spearman_cosine": row.spearman_cosine, "pearson_cosine": row.pearson_cosine}, row.step
        )

    def log_metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Record values under their names; one that is not a finite number is left out."""
        now = int(time.time() * 1000)
        new = {name: value for name, value in values.items() if (name, step) not in self.recorded}
        metrics = [Metric(name, value, now, step) for name, value in new.items() if math.isfinite(value)]
        self.recorded |= {(name, step) for name in new}
        self.client.log_batch(self.run_id, metrics=metrics)

    def log_sources(self, pairs: PairData, base: BaseModel) -> None:
        """Record both sets of pairs as inputs, and data and base model as tags."""
        origin = pairs.origin
        self._log_dataset(pairs.train, origin, "training")
        self._log_dataset(pairs.dev, origin, "evaluation")
        tags = {"data.source": pairs.source, "data.name": origin.name, "data.note": origin.note or ""}
        tags |= {"model.base": base.name, "model.revision": base.revision or ""}
        self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def _log_dataset(self, pairs: Dataset, origin: Origin, context: str) -> None:
        source = resolve_dataset_source(origin.url) if origin.url else CodeDatasetSource(tags={})
        dataset = MetaDataset(source, name=f"{origin.name} {context}", digest=digest(pairs))
        tags = [InputTag("mlflow.data.context", context)]
        self.client.log_inputs(self.run_id, [DatasetInput(dataset._to_mlflow_entity(), tags)])

    def log_result(self, folder: Path, files: list[str], values: dict[str, Any]) -> None:
        """Record files of the result folder as artifacts, its numbers as metrics and its words as tags."""
        for name in files:
            parent = Path(name).parent.as_posix()
            self.client.log_artifact(self.run_id, str(folder / name), None if parent == "." else parent)
        numbers = {key: float(value) for key, value in values.items() if isinstance(value, int | float)}
        words = [RunTag(f"result.{key}", value) for key, value in values.items() if isinstance(value, str)]
        self.log_metrics(numbers, int(values["steps"]))
        self.client.log_batch(self.run_id, tags=words)

    def log_folder(self, folder: Path) -> None:
        """Record all files of a folder as artifacts."""
        self.client.log_artifacts(self.run_id, str(folder))

    def set_tags(self, tags: dict[str, str]) -> None:
        """Record tags."""
        self.client.log_batch(self.run_id, tags=[RunTag(key, value[:5000]) for key, value in tags.items()])

    def close_children(self) -> None:
        """Mark children that still count as running as killed: nobody runs them any more."""
        experiment = self.client.get_run(self.run_id).info.experiment_id
        lost = f"attributes.status = 'RUNNING' and tags.`{PARENT}` = '{self.run_id}'"
        for child in self.client.search_runs([experiment], lost):
            self.client.set_terminated(child.info.run_id, "KILLED")

    def log_model(self, encoder: SentenceTransformer, step: int) -> str | None:
        """Record the model with signature and input example; return its new version if models are registered."""
        if not self.config.tracking.models:
            return None
        versions = library_versions()
        mlflow.set_experiment(self.config.name)
        info = Model.log(
            artifact_path=None,
            name="model",
            flavor=mlflow.sentence_transformers,
            model=encoder,
            run_id=self.run_id,
            step=step,
            signature=infer_signature(EXAMPLE, encoder.encode(EXAMPLE)),
            input_example=EXAMPLE,
            pip_requirements=[f"{name}=={versions[f'version.{name}'].split('+')[0]}" for name in MODEL_LIBRARIES],
        )
        return self._register(info.model_id) if self.config.tracking.register else None

    def _register(self, model_id: str) -> str:
        with suppress(MlflowException):
            self.client.create_registered_model(self.config.name)
        version = self.client.create_model_version(
            self.config.name, f"models:/{model_id}", run_id=self.run_id, model_id=model_id
        )
        return str(version.version)


@contextmanager
def start_run(config: Config, tags: dict[str, str], former: str | None = None) -> Iterator[Run]:
    """Open a run with all parameters of the configuration, or the `former` one again, for as long as the block lasts.

    It ends as FINISHED; as FAILED, with the reason in the tag `failure`, if an error leaves the block; as KILLED if the
    user interrupts it.
    """
    tracking = config.tracking
    client, experiment_id = _open_store(tracking, config.name)
    run_id = former or _create_run(client, experiment_id, config, tags)
    client.update_run(run_id, status="RUNNING")
    monitor = SystemMetricsMonitor(run_id, sampling_interval=5) if tracking.system_metrics else None
    status = "FAILED"
    try:
        if monitor:
            monitor.start()
        yield Run(client, config, run_id)
        status = "FINISHED"
    except Stopped as stop:
        client.set_tag(run_id, "stopped", str(stop))
        status = "KILLED"
        raise
    except Exception as error:
        client.set_tag(run_id, "failure", f"{type(error).__name__}: {error}"[:5000])
        raise
    except BaseException:
        status = "KILLED"
        raise
    finally:
        if monitor:
            monitor.finish()
        client.set_terminated(run_id, status)


def known_run(config: Config, run_id: str | None) -> str | None:
    """Return the run id if the store has such a run, else None."""
    client, _ = _open_store(config.tracking, config.name)
    with suppress(MlflowException):
        return str(client.get_run(run_id).info.run_id) if run_id else None
    return None


def _create_run(client: MlflowClient, experiment_id: str, config: Config, tags: dict[str, str]) -> str:
    """Return a new run's id; a run of the same folder that still counts as running was killed, and is marked so."""
    folder = str(Path(config.folder).resolve())
    for killed in client.search_runs([experiment_id], f"attributes.status = 'RUNNING' and tags.folder = '{folder}'"):
        client.set_terminated(killed.info.run_id, "KILLED")
    run_id = str(client.create_run(experiment_id, tags={**tags, "folder": folder}).info.run_id)
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in flatten(asdict(config))])
    return run_id


def _open_store(tracking: TrackingConfig, experiment: str) -> tuple[MlflowClient, str]:
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
    return str(client.create_experiment(name, artifact_location=location))


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names with their values, depth first."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def download_model(address: str, uri: str, folder: Path) -> Path:
    """Copy the model at a registry address such as models:/review_sts/3 into `folder`; return its encoder's folder.

    Raises `UserError` where the store `uri` cannot be read, or holds no such model, or none of sentence-transformers.
    """
    expected = f"model={address}: expected a registered model in {uri.split('@')[-1]}"
    advice = "give models:/NAME/VERSION as `make ui` shows it under Models, or set tracking.uri"
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise UserError(f"{expected}, found no such file (from {Path.cwd()}): train first, or set tracking.uri.")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # by default a server that is down costs minutes
    mlflow.set_tracking_uri(uri)  # `download_artifacts` resolves models:/ there, whatever it is given itself
    try:
        copy = Path(mlflow.artifacts.download_artifacts(address, dst_path=str(folder)))
        data = Model.load(copy).flavors["sentence_transformers"]
    except (MlflowException, OSError) as error:
        found = " ".join(str(error).split())[:200].rstrip(".")
        raise UserError(f"{expected}, found: {found}: {advice}.") from error
    except KeyError as error:
        raise UserError(f"{expected} of sentence-transformers, found another kind: {advice}.") from error
    return copy / str(data.get("data", "model.sentence_transformer"))


def download_result(reference: str, uri: str, folder: Path, files: Iterable[str]) -> Path:
    """Copy those artifacts of a run into `folder` and return it; what the run lacks is left out.

    `reference` is a run id, a run name, an experiment (its latest finished run) or a models:/ address.
    Raises `UserError` where the store `uri` cannot be read or holds nothing of that name.
    """
    expected = f"{reference}: expected an experiment folder, or a run, an experiment or a models:/ address in"
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise UserError(f"{expected} {uri}, found neither folder nor store: check the name and --uri.")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    client = MlflowClient(uri)
    try:
        run_id = _find_run(client, reference)
    except (MlflowException, OSError) as error:
        found = " ".join(str(error).split())[:200].rstrip(".")
        raise UserError(f"{expected} {uri.split('@')[-1]}, found: {found}: check the name and --uri.") from error
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        with suppress(MlflowException, OSError):
            client.download_artifacts(run_id, name, str(folder))
    return folder


def _find_run(client: MlflowClient, reference: str) -> str:
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


def log_files(uri: str, experiment: str, files: list[Path], tags: dict[str, str]) -> str:
    """Record files in a new, finished run of `experiment`, and return its id."""
    client, experiment_id = _open_store(TrackingConfig(uri=uri), experiment)
    run_id = str(client.create_run(experiment_id, tags=tags).info.run_id)
    for file in files:
        client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)
    return run_id


def recorded_identity(reference: str, uri: str) -> dict[str, str]:
    """Return what a run recorded of its origin: the digests of its pairs as training and evaluation, and its tags."""
    client = MlflowClient(uri)
    run = client.get_run(_find_run(client, reference))
    digests = {given.tags[0].value: given.dataset.digest for given in run.inputs.dataset_inputs}
    return {**run.data.tags, **digests}
