"""Runs in MLflow: parameters, curves, data sets, artifacts and models. The only package that imports mlflow."""

import signal

from src.utils.imports import heavy_imports

with heavy_imports():  # of mlflow
    from src.tracking.champion import registered_model
    from src.tracking.exports import record_export
    from src.tracking.opening import known_run
    from src.tracking.provenance import run_tags
    from src.tracking.queue import sync_command
    from src.tracking.recipes import find_recipe
    from src.tracking.registry import EXAMPLE, download_model, download_result, log_files, recorded_provenance
    from src.tracking.run import Run, start_run
    from src.tracking.store import experiments_of, list_experiments
    from src.tracking.sync import SyncReport, sync_journals
    from src.tracking.tags import MERGE, PARENT, RECIPE

# MLflow imports Polars where it is installed (the extra mteb), whose handler of Ctrl-C lets the system restart a call
# that waits for a process, and Python would not raise KeyboardInterrupt before that process ends
signal.siginterrupt(signal.SIGINT, True)

__all__ = [
    "EXAMPLE",
    "MERGE",
    "PARENT",
    "RECIPE",
    "Run",
    "SyncReport",
    "download_model",
    "download_result",
    "experiments_of",
    "find_recipe",
    "known_run",
    "list_experiments",
    "log_files",
    "record_export",
    "recorded_provenance",
    "registered_model",
    "run_tags",
    "start_run",
    "sync_command",
    "sync_journals",
]
