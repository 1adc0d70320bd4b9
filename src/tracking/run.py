"""One run and what is recorded in it."""

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
from datasets import Dataset
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, Metric, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from mlflow.tracking import MlflowClient
from sentence_transformers import SentenceTransformer

from src.config import Config
from src.data import Origin, PairData, digest
from src.encoder import BaseModel
from src.provenance import library_versions
from src.training.curve import CurveRow

EXAMPLE = ["호스트가 친절하고 방이 깨끗했어요.", "숙소가 청결하고 주인분도 다정하셨습니다."]
"""Input example of logged models, written for this project."""
PARENT = "mlflow.parentRunId"
"""Tag that makes a run the child of another."""
MODEL_LIBRARIES = ("torch", "transformers", "sentence-transformers")


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

    def log_model(self, encoder: SentenceTransformer, step: int, scores: dict[str, float]) -> str | None:
        """Record the model with signature and input example; return its new version if models are registered.

        The version carries the scores as tags: its page in the UI shows nothing else of them.
        """
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
        return self._register(info.model_id, scores) if self.config.tracking.register else None

    def _register(self, model_id: str, scores: dict[str, float]) -> str:
        with suppress(MlflowException):
            self.client.create_registered_model(self.config.name)
        tags = {name: f"{value:.4f}" for name, value in scores.items()}
        version = self.client.create_model_version(
            self.config.name, f"models:/{model_id}", run_id=self.run_id, tags=tags, model_id=model_id
        )
        return str(version.version)
