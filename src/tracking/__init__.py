"""Runs in MLflow: parameters, curves, data sets, artifacts and models. The only package that imports mlflow.

Everything goes through `MlflowClient` with an explicit run id. The fluent interface keeps the active run in a global,
and a callback that ends it sends whatever comes later to a stray run.

What a run records goes one way: `Run` → `Journal` (a file beside the run) → `Sender` (the store), and the `Outbox`
between the last two bounds what a store that is slow or away may cost.
"""

import logging

from src.tracking.delivery import Delivery, deliver
from src.tracking.lifetime import known_run, log_files, start_run
from src.tracking.lookup import download_model, download_result, recorded_identity
from src.tracking.models import EXAMPLE
from src.tracking.run import Run
from src.tracking.store import PARENT

__all__ = [
    "EXAMPLE",
    "PARENT",
    "Delivery",
    "Run",
    "deliver",
    "download_model",
    "download_result",
    "known_run",
    "log_files",
    "recorded_identity",
    "start_run",
]

for noisy in ("alembic", "mlflow"):
    logging.getLogger(noisy).setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # shows errors that it raises all the same
