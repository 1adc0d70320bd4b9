"""Trainings that an interrupted sequence of trainings need not repeat."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from src.config import Config
from src.tracking import known_run, start_run


def finished(config: Config) -> dict[str, Any] | None:
    """Return the metrics of a training that is done in `config.folder`, None if none is; its run is closed too."""
    folder = Path(config.folder)
    result = folder / "metrics.json"
    if not result.exists() or (folder / "checkpoints").exists():
        return None
    metrics: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    closing = replace(config, tracking=replace(config.tracking, system_metrics=False))
    if run_id := known_run(closing, metrics["run_id"]):
        with start_run(closing, {}, run_id):  # it may have been killed on its very last step
            pass
    return metrics
