"""Settings of MLflow tracking."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, unquote_plus

from src.utils.errors import require

SQLITE = "sqlite:///"
SECRET = re.compile(
    r"([\w-]*(?:pass|pwd|token|secret|credential|api_?key|access_?key)[\w-]*=)([^&\s;'\"]+)", re.IGNORECASE
)
"""A key and its secret value, in the query of an address or in a connection string."""
USERINFO = re.compile(r"(\w+://)[^/@\s]+@")
HIDDEN = "***"


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite store, None for a server."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def engine_uri(uri: str) -> str:
    """Return an address as SQLAlchemy and MLflow read it: the path of an SQLite file absolute and quoted."""
    database = sqlite_path(uri)
    if database is None:
        return uri
    from sqlalchemy import URL

    # without the driver's name MLflow would create the folder of the quoted path
    return URL.create("sqlite+pysqlite", database=str(database.absolute())).render_as_string()


def redact(uri: str) -> str:
    """Return an address without user, password and query, for messages, parameters and tags."""
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    if uri.startswith(SQLITE):
        return SECRET.sub(rf"\1{HIDDEN}", uri)
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        return SECRET.sub(rf"\1{HIDDEN}", uri.rpartition("@")[2].partition("?")[0])
    if "?" in (url.password or ""):  # an @ in the query, or a ? in the password: any part may be secret
        return f"{url.drivername}://{HIDDEN}"
    if url.username or url.password or url.query or "@" in (url.host or ""):
        host, path = url.host and url.host.rpartition("@")[2], url.database and url.database.partition("#")[0]
        uri = URL.create(url.drivername, host=host, port=url.port, database=path).render_as_string()
    return SECRET.sub(rf"\1{HIDDEN}", uri)


def redact_message(message: str, uri: str) -> str:
    """Return a message, such as that of an exception, without the secrets of an address in any quoting."""
    message = message.replace(uri, redact(uri))
    for secret in _secrets(uri):
        for form in {secret, unquote(secret), unquote_plus(secret), quote(unquote(secret), safe="")}:
            message = message.replace(form, HIDDEN)
    return SECRET.sub(rf"\1{HIDDEN}", USERINFO.sub(r"\1", message))


def _secrets(uri: str) -> list[str]:
    """Return the secrets of an address as they are written in it: password or token, and values of the query."""
    scheme, _, rest = uri.partition("://")
    user, _, password = rest.rpartition("@")[0].partition(":")
    token = user if scheme.startswith("http") and not password else ""
    return [secret for secret in (password, token, *(value for _, value in SECRET.findall(uri))) if secret]


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
