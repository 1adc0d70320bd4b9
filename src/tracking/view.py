"""How an experiment shows its runs in the MLflow UI: with scores, base encoder and data as columns.

Without it the UI lists runs with neither a metric nor a parameter. A saved view is a tag of the experiment; the UI
offers it under "Views".
"""

import json
import time

NAME = "Scores"
COLUMNS = [
    "metrics.`spearman_cosine`",
    "metrics.`pearson_cosine`",
    "params.`trainer.learning_rate`",
    "tags.`model.base`",
    "tags.`data.source`",
]


def view_tags() -> dict[str, str]:
    """Return the tags of a new experiment: its kind, and the saved view as the UI itself would write it."""
    now = int(time.time() * 1000)
    state = json.dumps({"selectedColumns": COLUMNS})
    view = {"name": NAME, "createdAt": now, "updatedAt": now, "state": state}
    return {"mlflow.experimentKind": "custom_model_development", "mlflow.sharedViewState.scores": json.dumps(view)}
