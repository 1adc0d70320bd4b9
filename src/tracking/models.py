"""The model of a run in the store and in the registry: looked for before it is recorded, so that it is there once."""

from contextlib import suppress
from pathlib import Path

import mlflow
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from mlflow.tracking import MlflowClient
from sentence_transformers import SentenceTransformer

from src.provenance import library_versions
from src.tracking.outage import time_for_upload

EXAMPLE = ["호스트가 친절하고 방이 깨끗했어요.", "숙소가 청결하고 주인분도 다정하셨습니다."]
"""Input example of logged models, written for this project."""
MODEL_LIBRARIES = ("torch", "transformers", "sentence-transformers")


class Models:
    """The model of one run."""

    def __init__(self, client: MlflowClient, experiment_id: str, run_id: str) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.run_id = run_id

    def logged(self) -> str | None:
        """Return the model's id if the store has all of it; remove what an interrupted attempt has left."""
        condition = f"source_run_id = '{self.run_id}'"
        for model in list(self.client.search_logged_models([self.experiment_id], condition)):
            if model.status == LoggedModelStatus.READY:
                return str(model.model_id)
            self.client.delete_logged_model(model.model_id)
        return None

    def log(self, folder: Path, step: int) -> str:
        """Record the encoder in a folder, with signature and input example; return the model's id."""
        encoder = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        versions = library_versions()
        mlflow.set_tracking_uri(self.client.tracking_uri)
        mlflow.set_experiment(experiment_id=self.experiment_id)
        with time_for_upload():
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
        return str(info.model_id)

    def version(self) -> str | None:
        """Return the version under which the run's model is registered, None if it is not."""
        found = self.client.search_model_versions(f"run_id = '{self.run_id}'")
        return str(found[0].version) if found else None

    def register(self, model_id: str, name: str, scores: dict[str, float]) -> str:
        """Register the model as a new version of `name`, with its scores as tags, and return that."""
        with suppress(MlflowException):  # the name is there from an earlier run
            self.client.create_registered_model(name)
        tags = {score: f"{value:.4f}" for score, value in scores.items()}
        address = f"models:/{model_id}"
        made = self.client.create_model_version(name, address, run_id=self.run_id, tags=tags, model_id=model_id)
        return str(made.version)
