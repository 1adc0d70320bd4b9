"""Saved views of an experiment in the MLflow UI, kept in its tags: runs by score, seeds by recipe, trials of a sweep.

The list of runs shows neither metrics nor parameters by default. The format is that of the UI's own shared views.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from src.evaluation.metrics import PEARSON, SPEARMAN

TAG = "mlflow.sharedViewState."
"""Beginning of the tag with a view; the rest is its key, by which an address names it."""
KIND = "mlflow.experimentKind"
SCORES, RECIPES = "scores", "recipes"
NAME, CREATED, DURATION = "attributes.`Run Name`", "runDateAndNestInfo", "duration"
"""Columns that the list always has; the UI keeps NAME and CREATED in front."""
BOUNDS = {"": 130, "_low": 165, "_high": 170}
WIDTHS = {
    NAME: 280,
    CREATED: 150,
    **{f"metrics.`{SPEARMAN}{end}`": width for end, width in BOUNDS.items()},
    f"metrics.`{PEARSON}`": 130,
    "params.`trainer.learning_rate`": 165,
    "params.`trainer.warmup_ratio`": 160,
    "params.`trainer.epochs`": 125,
    "tags.`model.base`": 240,
    "tags.`data.source`": 110,
    "attributes.`Description`": 480,
    DURATION: 90,
}
"""Columns from left to right, with widths in pixels at which their titles are readable."""


def changed_tags(tags: Mapping[str, str], recipe: str) -> dict[str, str]:
    """Return the tags to set so that an experiment with these tags has the views of this version.

    Other views are the user's own. `recipe`: name of the tag by which seeds are grouped.
    """
    groups = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": recipe}]}
    grouped = {"groupBy": groups, "columnWidths": WIDTHS | {NAME: 430}}  # a recipe in words is longer than a name
    views: dict[str, tuple[str, dict[str, Any]]] = {SCORES: ("Scores", {}), RECIPES: ("Recipes", grouped)}
    wanted = {f"{TAG}{key}": _view(name, **state) for key, (name, state) in views.items()}
    changed = {key: view for key, view in wanted.items() if _state(tags.get(key)) != _state(view)}
    return changed if KIND in tags else {KIND: "custom_model_development", **changed}


def is_ours(tags: Mapping[str, str]) -> bool:
    """Return whether an experiment with these tags is one of this project; a server may have others too."""
    return f"{TAG}{SCORES}" in tags


def children_view(parent: str, run_id: str, name: str) -> dict[str, str]:
    """Return the tag with a view of the children of a run, under the run's id; `parent`: the tag that names it."""
    return {f"{TAG}{run_id}": _view(name, searchFilter=f"tags.`{parent}` = '{run_id}'")}


def _view(name: str, **state: Any) -> str:
    order = {"orderByKey": f"metrics.`{SPEARMAN}`", "orderByAsc": False}
    columns = {"selectedColumns": list(WIDTHS), "columnOrder": list(WIDTHS), "columnWidths": WIDTHS}
    now = int(time.time() * 1000)
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": json.dumps(order | columns | state)})


def _state(view: str | None) -> Any:
    try:
        return json.loads(view or "")["state"]
    except (ValueError, TypeError, KeyError):
        return None
