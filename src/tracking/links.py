"""Addresses of pages of the MLflow UI that show on the first visit, without a click, what they are printed for."""

import json
import shlex
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from src.config.tracking import TrackingConfig, absolute_uri, default_uri, redact
from src.tracking.views import RECIPES, SCORES

LOCAL = "http://127.0.0.1:5000"
"""Address of the UI that `make ui` serves."""
TRAINING = "workflowType=machine_learning"
"""Part of the UI for trainings; without it a new browser shows the part for traces of language models."""


def ui_address(tracking: TrackingConfig) -> str:
    """Return the address of the UI: the one configured, that of the server with the store, or that of `make ui`."""
    served = redact(tracking.uri) if tracking.uri.startswith("http") else LOCAL
    return (tracking.ui or served).rstrip("/")


def ui_title(tracking: TrackingConfig) -> str:
    """Return the title of a list of addresses: what they show, and what must be running for it."""
    if tracking.ui or tracking.uri.startswith("http"):
        return "in MLflow:"
    default = absolute_uri(tracking.uri) == absolute_uri(default_uri())
    command = "make ui" if default else f"python -m src.ui --uri {shlex.quote(redact(tracking.uri))}"
    return f"in MLflow, while {command} is running:"


def runs_page(ui: str, experiment_id: str, view: str = SCORES) -> str:
    """Return the address of the list of runs of an experiment, in one of its views."""
    return f"{ui}/#/experiments/{experiment_id}/runs?{TRAINING}&viewStateShareKey={view}"


def models_page(ui: str, experiment_id: str) -> str:
    """Return the address of the models of an experiment with bars of their scores.

    Their list has the scores too, in columns to the right of what fits on most screens.
    """
    return f"{ui}/#/experiments/{experiment_id}/models?{TRAINING}&viewMode=CHART"


def run_page(ui: str, experiment_id: str, run_id: str) -> str:
    """Return the address of a run."""
    return f"{ui}/#/experiments/{experiment_id}/runs/{run_id}?{TRAINING}"


def version_page(ui: str, name: str, version: str) -> str:
    """Return the address of a version of a registered model."""
    return f"{ui}/#/models/{quote(name, safe='')}/versions/{version}?{TRAINING}"


def curves_page(ui: str, experiments: Mapping[str, str], metric: str) -> str:
    """Return the address of a chart with several runs' curves of a metric; `experiments`: experiment by run id."""
    lists = {
        "runs": list(experiments),
        "metric": metric,
        "experiments": sorted(set(experiments.values())),
        "plot_metric_keys": [metric],
    }
    values = {name: json.dumps(value, separators=(",", ":")) for name, value in lists.items()}
    return f"{ui}/#/metric?{urlencode(values | {'x_axis': 'step', 'show_point': 'true'}, quote_via=quote)}&{TRAINING}"


def experiment_links(ui: str, experiment_id: str) -> dict[str, str]:
    """Return the addresses of the pages of an experiment, by what they show."""
    return {
        "runs": runs_page(ui, experiment_id),
        "recipes": runs_page(ui, experiment_id, RECIPES),
        "models": models_page(ui, experiment_id),
    }
