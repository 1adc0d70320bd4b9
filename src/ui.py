"""Serve the MLflow UI, and print the addresses of the pages to look at: python -m src.ui [--port 5001].

It shows the store of MLFLOW_TRACKING_URI, else mlruns/mlflow.db, until Ctrl-C. For a store that is a server itself, it
prints the addresses there.
"""

import logging
import sqlite3
import sys
from argparse import RawTextHelpFormatter
from contextlib import suppress

from src.cli import Parser, parser_command
from src.config.tracking import (
    VARIABLE,
    TrackingConfig,
    check_uri,
    default_uri,
    engine_uri,
    is_foreign,
    is_missing,
    redact,
    sqlite_path,
)
from src.utils.console import log_links
from src.utils.errors import UserError
from src.utils.server import check_port, serving

LOCALHOST = "127.0.0.1"
SHOWN = 10
"""Maximum number of experiments whose pages are printed."""
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

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
    with suppress(sqlite3.Error):  # the server will say what is wrong
        if is_foreign(uri):
            raise UserError(f"{redact(uri)}: expected an MLflow store, found a database of another program: set --uri.")
    check_port(host, port)
    address = f"http://{host}:{port}"
    log.info(f"Starting the MLflow UI on {address} …")
    command = server_command(host, port, uri)
    with suppress(KeyboardInterrupt), serving(command, QUIET, f"{address}/health") as server:
        print_pages(address, uri)
        log.info("\nCtrl-C ends it.")
        server.wait()
        raise UserError(f"{address}: expected a server that runs, found that it has ended: give the command again.")


def server_command(host: str, port: int, uri: str) -> list[str]:
    """Return the command line of MLflow's server."""
    artifacts = TrackingConfig(uri=uri).artifacts_folder
    places = ["--backend-store-uri", engine_uri(uri), "--artifacts-destination", str(artifacts)]
    options = ["--host", host, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    return [sys.executable, "-m", "mlflow", "server", *options, *places]


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
