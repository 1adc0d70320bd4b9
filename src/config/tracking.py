"""Settings of MLflow tracking."""

from dataclasses import dataclass
from pathlib import Path

from src.utils.errors import require

SQLITE = "sqlite:///"


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite store, None for a server."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def redact(uri: str) -> str:
    """Return an address without the user and password in it, for messages and tags."""
    return uri.split("@")[-1]


def is_missing(uri: str) -> bool:
    """Return whether the store is an SQLite file that does not exist."""
    database = sqlite_path(uri)
    return database is not None and not database.is_file()


@dataclass
class TrackingConfig:
    """An MLflow store: an SQLite file with a folder of artifacts, or a server."""

    uri: str = "sqlite:///mlruns/mlflow.db"
    """SQLite file or http(s) address."""
    artifacts: str | None = "mlruns/artifacts"
    """Folder of the artifacts of new experiments; empty: the server decides."""
    models: bool = True
    """Log the trained model in the run."""
    register: bool = True
    """Register the logged model as a new version under the experiment's name."""
    system_metrics: bool = True
    """Log CPU and memory use."""

    def __post_init__(self) -> None:
        known = self.uri.split(":", 1)[0] in ("sqlite", "http", "https")
        named = "without a password in it (set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)"
        require("@" not in self.uri.split("//", 1)[-1], "tracking.uri", named, redact(self.uri))
        local = self.artifacts is None or "://" not in self.artifacts
        require(local, "tracking.artifacts", "a folder, or empty for a server", redact(self.artifacts or ""))
        require(known, "tracking.uri", "sqlite:///PATH or http(s)://HOST:PORT", redact(self.uri))
