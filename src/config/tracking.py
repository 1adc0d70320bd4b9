"""Settings of MLflow tracking, and addresses of stores: the default, SQLite files, and forms without secrets."""

import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, unquote_plus

from src.utils.errors import require
from src.utils.files import path_of
from src.utils.text import visible

SQLITE = "sqlite:///"
VARIABLE = "MLFLOW_TRACKING_URI"
"""Environment variable with the default store, as for MLflow itself."""
DEFAULT_FILE = Path("mlruns") / "mlflow.db"
"""Default store of a project, relative to its folder."""
DVC_WORKSPACES = "/.dvc/tmp/exps/"
"""Part of the paths of DVC's temporary workspaces, which DVC removes after an experiment."""
SECRET = re.compile(
    r"([\w-]*(?:pass|pwd|token|secret|credential|api_?key|access_?key)[\w-]*=)([^&\s;'\"]+)", re.IGNORECASE
)
"""A key and its secret value, in the query of an address or in a connection string."""
USERINFO = re.compile(r"(\w+://)[^/@\s]+@")
PAGE = re.compile(r"https?://[\w.:\[\]-]+(/[\w./~%-]*)?", re.ASCII)
"""Address of a UI: without user, query and fragment, so that links can be made of it."""
HIDDEN = "***"
NAME_LENGTH = 250
"""Longest name of a run that MLflow stores, in characters."""


def default_uri() -> str:
    """Return the store of `MLFLOW_TRACKING_URI`, else the SQLite file in the project's mlruns/.

    In a temporary workspace of DVC the project is the one that DVC has copied.
    """
    project, found, _ = Path.cwd().as_posix().partition(DVC_WORKSPACES)
    return os.environ.get(VARIABLE) or f"{SQLITE}{Path(project if found else '') / DEFAULT_FILE}"


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite store, None for a server.

    The path is taken literally, so that `?`, `%` and `#` in it need no quoting. A quoted path is decoded if only the
    decoded folder exists.
    """
    if not uri.startswith(SQLITE):
        return None
    literal = Path(uri.removeprefix(SQLITE))
    decoded = Path(unquote(str(literal)))
    return decoded if decoded.parent.is_dir() and not literal.parent.is_dir() else literal


def absolute_uri(uri: str) -> str:
    """Return an address that does not depend on the working directory."""
    database = sqlite_path(uri)
    return f"{SQLITE}{database.absolute()}" if database else uri


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
    whole = [secret for secret in (password, token, *(value for _, value in SECRET.findall(uri))) if secret]
    # an unquoted @ makes a part of the secret a name of a host, which messages quote
    return whole + [part for secret in whole if "@" in secret for part in secret.split("@") if len(part) > 2]


def is_missing(uri: str) -> bool:
    """Return whether the store is an SQLite file that does not exist."""
    database = sqlite_path(uri)
    return database is not None and not database.is_file()


def is_foreign(uri: str) -> bool:
    """Return whether the store is an SQLite file with tables, none of which are MLflow's.

    Raises `sqlite3.Error` if the file cannot be read.
    """
    database = sqlite_path(uri)
    if database is None or not database.is_file():
        return False
    with closing(sqlite3.connect(database, timeout=2)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return bool(tables) and tables.isdisjoint({"experiments", "runs"})


def check_uri(uri: str, key: str) -> None:
    """Raise `UserError` naming `key`, or the environment variable, unless the address is that of a usable store."""
    advice = "set another value on the command line or in conf/"
    if uri == os.environ.get(VARIABLE):  # its value is a default, which is checked even if the command line replaces it
        key, advice = f"{key} (from {VARIABLE})", f"correct {VARIABLE}, or unset it"
    known = re.fullmatch(r"sqlite:///[^:]+|https?://[^/\s]+\S*", uri) is not None
    named = "without a password in it (set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)"
    require(not _secrets(uri) and redact(uri) == uri, key, named, redact(uri), advice)
    require(known and uri.isprintable(), key, "sqlite:///PATH or http(s)://HOST:PORT", redact(uri), advice)


@dataclass
class TrackingConfig:
    """An MLflow store: an SQLite file with a folder of artifacts, or a server."""

    uri: str = field(default_factory=default_uri)
    """SQLite file or http(s) address; default: MLFLOW_TRACKING_URI, else sqlite:///mlruns/mlflow.db."""
    artifacts: str | None = None
    """Folder of the artifacts of new experiments; empty: `artifacts` beside an SQLite file, else the server decides."""
    models: bool = True
    """Log the trained model in the run."""
    register: bool = True
    """Register the logged model as a new version under the experiment's name."""
    run_name: str | None = None
    """Name of the run; empty: what differs from the defaults of its experiment, else its seed and the time."""
    champion: str = "off"
    """auto: at the end of a training, models:/NAME@champion moves to its model if that has earned it; off: it stays."""
    ui: str | None = None
    """Address of the MLflow UI, for printed links; empty: the server's own, or http://127.0.0.1:5000 of `make ui`."""
    system_metrics: bool = True
    """Log CPU and memory use."""

    def __post_init__(self) -> None:
        local = self.artifacts is None or "://" not in self.artifacts
        require(local, "tracking.artifacts", "a folder, or empty for a server", redact(self.artifacts or ""))
        check_uri(self.uri, "tracking.uri")
        _check_ui(self.ui)
        _check_run_name(self.run_name)
        self.champion = "off" if self.champion == "False" else self.champion  # how YAML reads off without quotes
        registered = self.models and self.register
        allowed = "off or auto" if registered else "off without tracking.models and tracking.register"
        require(self.champion in ("off", *["auto"] * registered), "tracking.champion", allowed, self.champion)

    @property
    def artifacts_folder(self) -> Path | None:
        """Folder of the artifacts of new experiments, None if the server decides."""
        database = sqlite_path(self.uri)
        if self.artifacts:
            return path_of(self.artifacts)
        return database.absolute().parent / "artifacts" if database else None


def _check_ui(address: str | None) -> None:
    valid = address is None or PAGE.fullmatch(address) is not None
    require(valid, "tracking.ui", "http(s)://HOST:PORT without user and query, or null", redact(address or ""))


def _check_run_name(name: str | None) -> None:
    if name is None:
        return
    shown = visible(name[:40])
    valid = bool(name.strip()) and visible(name) == name and not {"\n", "\t"} & set(name)
    require(valid, "tracking.run_name", "a text on one line, or null", shown)
    require(len(name) <= NAME_LENGTH, "tracking.run_name", f"at most {NAME_LENGTH} characters long", shown)
