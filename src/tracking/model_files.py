"""Files of an experiment's logged models: size, check and removal, on this machine or through a server.

An address of files comes from a store, which is input. Files are only touched in the folder that MLflow itself gives
a model, EXPERIMENT/models/ID, and only if its MLmodel file names this model.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol
from urllib.parse import urlparse
from urllib.request import url2pathname

import yaml
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from src.config.tracking import redact
from src.utils.errors import UserError, shorten
from src.utils.files import remove, size_of

FOLDER, DESCRIPTION = "models", "MLmodel"
MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
DEPTH = 8
"""Levels of folders that are listed in a model; those of sentence-transformers have three."""


class ModelFiles(Protocol):
    """The models of one experiment, each named by its id."""

    def ids(self) -> list[str]:
        """Return the ids of all models with a folder."""

    def size(self, model_id: str) -> int:
        """Return the bytes of a model's files."""

    def description(self, model_id: str) -> bytes:
        """Return the content of its MLmodel file, empty if there is none."""

    def has_links(self, model_id: str) -> bool:
        """Return whether its folder is, or contains, a link."""

    def remove(self, model_id: str) -> None:
        """Remove its folder; an interrupted removal leaves the MLmodel file, by which the rest is recognised."""


class LocalFiles:
    """Models in a folder of this machine."""

    def __init__(self, experiment: Path) -> None:
        self.folder = experiment.resolve() / FOLDER

    def ids(self) -> list[str]:
        """Return the ids of all models with a folder."""
        return sorted(each.name for each in self.folder.glob("m-*"))

    def size(self, model_id: str) -> int:
        """Return the bytes of a model's files."""
        return size_of(self.folder / model_id)

    def description(self, model_id: str) -> bytes:
        """Return the content of its MLmodel file, empty if there is none."""
        path = self.folder / model_id / "artifacts" / DESCRIPTION
        return path.read_bytes() if path.is_file() else b""

    def has_links(self, model_id: str) -> bool:
        """Return whether its folder is, or contains, a link."""
        model = self.folder / model_id
        return model.resolve() != model or any(path.is_symlink() for path in model.rglob("*"))

    def remove(self, model_id: str) -> None:
        """Remove its folder, the MLmodel file last."""
        model = self.folder / model_id
        if model.is_dir():  # MLflow's own removal would take a % in the path for a quotation
            for path in (model / "artifacts").glob("*"):
                if path.name != DESCRIPTION:
                    remove(path)
            shutil.rmtree(model)


class ServedFiles:
    """Models whose files an MLflow server stores and serves."""

    def __init__(self, experiment: ArtifactRepository) -> None:
        self.artifacts = experiment

    def ids(self) -> list[str]:
        """Return the ids of all models with a folder."""
        return sorted(each.path.rpartition("/")[2] for each in self.artifacts.list_artifacts(FOLDER) if each.is_dir)

    def size(self, model_id: str) -> int:
        """Return the bytes of a model's files."""
        return sum(self._sizes(f"{FOLDER}/{model_id}"))

    def _sizes(self, path: str, depth: int = 0) -> Iterator[int]:
        for each in self.artifacts.list_artifacts(path) if depth < DEPTH else ():
            if each.is_dir:
                yield from self._sizes(each.path, depth + 1)
            else:
                yield int(each.file_size or 0)

    def description(self, model_id: str) -> bytes:
        """Return the content of its MLmodel file, empty if there is none."""
        path = f"{FOLDER}/{model_id}/artifacts/{DESCRIPTION}"
        if path not in (each.path for each in self.artifacts.list_artifacts(path.rpartition("/")[0])):
            return b""
        with TemporaryDirectory() as folder:
            return Path(self.artifacts.download_artifacts(path, folder)).read_bytes()

    def has_links(self, model_id: str) -> bool:
        """Return False: the server answers for its own folder."""
        return False

    def remove(self, model_id: str) -> None:
        """Remove its folder in one request."""
        self.artifacts.delete_artifacts(f"{FOLDER}/{model_id}")


def open_files(client: MlflowClient, location: str) -> ModelFiles:
    """Return the models below an experiment's artifact location; raise `UserError` if they cannot be reached."""
    scheme = urlparse(location).scheme
    if scheme == "mlflow-artifacts":
        return ServedFiles(get_artifact_repository(location, tracking_uri=client.tracking_uri))
    path = Path(url2pathname(urlparse(location).path) if scheme == "file" else location)
    if scheme not in ("file", "") or not path.is_absolute() or not path.is_dir():
        raise UserError(
            f"{redact(location)}: expected a folder of this machine or files behind the MLflow server, found neither:"
            " its models are left as they are."
        )
    return LocalFiles(path)


def files_problem(files: ModelFiles, location: str, model_id: str, artifact_location: str | None) -> str | None:
    """Return why the files of a model must stay, None if they may be removed or there are none.

    `location` is that of the experiment, `artifact_location` that of the model, None for a folder that was found.
    """
    own = f"{location.rstrip('/')}/{FOLDER}/{model_id}/artifacts"
    if not MODEL_ID.fullmatch(model_id) or (artifact_location or own).rstrip("/") != own:
        return f"files expected in {redact(own)}, found in {redact(artifact_location or own)}"
    if files.has_links(model_id):
        return "files expected in a folder without links, found a link"
    named = read_description(files, model_id).get("model_id")
    if named != model_id and files.size(model_id):
        return f"expected an {DESCRIPTION} file that names {model_id}, found {shorten(named, 40)}"
    return None


def read_description(files: ModelFiles, model_id: str) -> dict[str, str]:
    """Return the values in a model's MLmodel file, empty if it is missing or damaged."""
    try:
        found = yaml.safe_load(files.description(model_id))
    except (yaml.YAMLError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
