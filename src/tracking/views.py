"""Saved views of an experiment in the MLflow UI, kept in its tags: runs by score, seeds by recipe, trials of a sweep.

The list of runs shows neither metrics nor parameters by default. The format is that of the UI's own shared views.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from src.evaluation.metrics import OF_SHAPE, leading_metric
from src.tracking.tags import PARENT, RECIPE, SHAPE

TAG = "mlflow.sharedViewState."
"""Beginning of the tag with a view; the rest is its key, by which an address names it."""
KIND = "mlflow.experimentKind"
FORMER_SHAPE = "scored"
"""Shape of runs and experiments without the tag, which an earlier version recorded."""
SCORES, RECIPES = "scores", "recipes"
NAME, CREATED, DURATION = "attributes.`Run Name`", "runDateAndNestInfo", "duration"
"""Columns that the list always has; the UI keeps NAME and CREATED in front."""
BOUNDS = {"": 130, "_low": 165, "_high": 170}
OTHER = 130
SETTINGS = {
    "params.`trainer.learning_rate`": 165,
    "params.`trainer.warmup_ratio`": 160,
    "params.`trainer.epochs`": 125,
    "tags.`model.base`": 240,
    "tags.`data.source`": 110,
    "attributes.`Description`": 480,
    DURATION: 90,
}
"""Columns after those of the metrics, from left to right, with widths in pixels at which their titles are readable."""


def changed_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags to set so that an experiment with these tags has the views of this version.

    Other views are the user's own.
    """
    shape = shape_in(tags)
    groups = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": RECIPE}]}
    # a recipe in words is longer than a name
    grouped = {"groupBy": groups, "columnWidths": widths(shape) | {NAME: 430}}
    views: dict[str, tuple[str, dict[str, Any]]] = {SCORES: ("Scores", {}), RECIPES: ("Recipes", grouped)}
    wanted = {f"{TAG}{key}": _view(name, shape, **state) for key, (name, state) in views.items()}
    changed = {key: view for key, view in wanted.items() if _state(tags.get(key)) != _state(view)}
    return changed if KIND in tags else {KIND: "custom_model_development", **changed}


def is_ours(tags: Mapping[str, str]) -> bool:
    """Return whether an experiment with these tags is one of this project; a server may have others too."""
    return f"{TAG}{SCORES}" in tags


def children_view(run_id: str, name: str, shape: str) -> dict[str, str]:
    """Return the tag with a view of the children of a run, under the run's id."""
    return {f"{TAG}{run_id}": _view(name, shape, searchFilter=f"tags.`{PARENT}` = '{run_id}'")}


def shape_in(tags: Mapping[str, str]) -> str:
    """Return the shape of examples in the tags of a run or an experiment."""
    shape = tags.get(SHAPE, FORMER_SHAPE)
    return shape if shape in OF_SHAPE else FORMER_SHAPE


def widths(shape: str) -> dict[str, int]:
    """Return all columns from left to right: the leading metric with its interval, the other metrics, the settings."""
    leading, *others = (metric.name for metric in OF_SHAPE[shape])
    names = {f"{leading}{end}": width for end, width in BOUNDS.items()} | dict.fromkeys(others, OTHER)
    return {NAME: 280, CREATED: 150, **{f"metrics.`{name}`": width for name, width in names.items()}, **SETTINGS}


def _view(name: str, shape: str, **state: Any) -> str:
    order = {"orderByKey": f"metrics.`{leading_metric(shape).name}`", "orderByAsc": False}
    columns = widths(shape)
    shown = {"selectedColumns": list(columns), "columnOrder": list(columns), "columnWidths": columns}
    now = int(time.time() * 1000)
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": json.dumps(order | shown | state)})


def _state(view: str | None) -> Any:
    try:
        return json.loads(view or "")["state"]
    except (ValueError, TypeError, KeyError):
        return None
