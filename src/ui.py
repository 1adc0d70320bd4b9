"""Serve the MLflow UI, and print the addresses of the pages to look at: python -m src.ui [--port 5001].

It shows the store of MLFLOW_TRACKING_URI, else mlruns/mlflow.db, until Ctrl-C. For a store that is a server itself, it
prints the addresses there.
"""

import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from argparse import RawTextHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from src.cli import Parser, parser_command
from src.config.tracking import (
    VARIABLE,
    TrackingConfig,
    check_uri,
    default_uri,
    engine_uri,
    is_missing,
    redact,
    redact_message,
    sqlite_path,
)
from src.utils.console import log_links
from src.utils.errors import UserError, shorten

LOCALHOST = "127.0.0.1"
SHOWN = 10
"""Maximum number of experiments whose pages are printed."""
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
STOP_SECONDS = 10.0
"""Time that the server has to end by itself."""

log = logging.getLogger("src.ui")


def parser() -> Parser:
    """Return the parser of the command line."""
    usage = "python -m src.ui [--port PORT] [--host HOST] [--uri URI]"
    command = Parser("python -m src.ui", usage=usage, description=__doc__, formatter_class=RawTextHelpFormatter)
    command.add_argument("--port", type=int, default=5000, help="port to serve on (default: %(default)s)")
    command.add_argument("--host", default=LOCALHOST, help="address to serve on (default: %(default)s)")
    command.add_argument(
        "--uri", default=default_uri(), help=f"MLflow store (default: {VARIABLE}, else mlruns/mlflow.db)"
    )
    return command


def run(port: int, host: str, uri: str) -> None:
    """Serve the UI until an interruption; raise `UserError` if the store cannot be shown or the port is taken."""
    check_uri(uri, "--uri")
    if sqlite_path(uri) is None:
        print_pages(redact(uri).rstrip("/"), uri)
        return
    if is_missing(uri):
        raise UserError(f"{redact(uri)}: expected an MLflow store, found no such file: train first, or set --uri.")
    check_port(host, port)
    address = f"http://{host}:{port}"
    log.info(f"Starting the MLflow UI on {address} …")
    with suppress(KeyboardInterrupt), serving(server_command(host, port, uri), f"{address}/health", uri) as server:
        print_pages(address, uri)
        log.info("\nCtrl-C ends it.")
        server.wait()
        raise UserError(f"{address}: expected a server that runs, found that it has ended: give the command again.")


def check_port(host: str, port: int) -> None:
    """Raise `UserError` unless the port is free."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        free = f"make ui PORT={port + 1 if port < 65535 else 5000}"
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            raise UserError(
                f"--port {port}: expected a port of {host} that this user may open, found {shorten(error)}: choose"
                f" another one, as in {free}."
            ) from error
        owner = "an MLflow server" if fetch(f"http://{host}:{port}/health") == "OK" else "another program"
        raise UserError(
            f"--port {port}: expected a free port, found it taken by {owner} (http://{host}:{port}): stop that one, or"
            f" choose another port, as in {free}."
        ) from error


def fetch(address: str) -> str | None:
    """Return the beginning of what a server answers, None if it does not."""
    try:
        with urlopen(address, timeout=2) as reply:
            return str(reply.read(100).decode(errors="replace")).strip()
    except (URLError, OSError, ValueError):
        return None


def server_command(host: str, port: int, uri: str) -> list[str]:
    """Return the command line of MLflow's server."""
    artifacts = TrackingConfig(uri=uri).artifacts_folder
    places = ["--backend-store-uri", engine_uri(uri), "--artifacts-destination", str(artifacts)]
    options = ["--host", host, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    return [sys.executable, "-m", "mlflow", "server", *options, *places]


@contextmanager
def serving(command: list[str], health: str, uri: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the server for the duration of the block, which begins once it answers; end all of its processes.

    Raises `UserError` with the server's last lines if it ends before.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # MLflow starts uvicorn by name
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            command,
            env={**os.environ, **QUIET, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only this process, which ends those of the server
        )
        try:
            while fetch(health) is None:
                if server.poll() is not None:
                    output.seek(0)
                    lines = output.read().decode(errors="replace").splitlines()
                    found = shorten(redact_message(" / ".join(lines[-3:]), uri), 500)
                    raise UserError(f"expected MLflow's server to start, found: {found}: correct that.")
                time.sleep(0.2)
            yield server
        finally:
            end_group(server)


def end_group(server: "subprocess.Popen[bytes]") -> None:
    """End the server and the processes that it has started, at the latest after `STOP_SECONDS`."""
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(seconds)


def print_pages(ui: str, uri: str) -> None:
    """Print the addresses of the pages of each experiment in the store."""
    from src.tracking import list_experiments  # imports torch and MLflow, which takes seconds: after the checks
    from src.tracking.links import experiment_links

    experiments = list_experiments(uri)
    log.info(f"MLflow: {ui}" if experiments else f"MLflow: {ui}, without an experiment of this project so far")
    for name, experiment_id in list(experiments.items())[:SHOWN]:
        log_links(f"\n{name}", experiment_links(ui, experiment_id))
    if len(experiments) > SHOWN:
        log.info(f"\nand {len(experiments) - SHOWN} more, used less recently: {ui}/#/experiments")


if __name__ == "__main__":
    parser_command(run, parser())()
