"""Exports of a model in the store: files of its run and of its logged model, ONNX ones in a form that MLflow serves."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from src.config.tracking import TrackingConfig, redact
from src.tracking.journal import Journal
from src.tracking.journal_search import journal_of
from src.tracking.opening import stored_run
from src.tracking.queue import FINAL_SECONDS, WriteQueue
from src.tracking.registry import EXPORTS
from src.tracking.store import limit_requests_in_training
from src.utils.files import follow_umask

GRAPH = "model.onnx"
SIGNATURE = ModelSignature(
    Schema([TensorSpec(np.dtype(np.int64), (-1, -1), name) for name in ("input_ids", "attention_mask")]),
    Schema([TensorSpec(np.dtype(np.float32), (-1, -1), "sentence_embedding")]),
)


def record_export(export: Path, folder: Path, experiment: str, run_id: str, tracking: TrackingConfig) -> str | None:
    """Record an export folder in a run and its logged model; return what could not be recorded and what to do.

    While the store is unreachable, the export waits in a journal in `folder`, like what a training records.
    """
    limit_requests_in_training()
    if journal_of(folder, run_id) is None and stored_run(tracking.uri, run_id) is None:
        return (
            f"{export}: it is not recorded in MLflow: {redact(tracking.uri)} has no run {run_id}; set tracking.uri to"
            " the store of the model's run."
        )
    try:
        queue = WriteQueue(Journal.create(folder, None, tracking.uri, experiment), tracking)
    except OSError as error:
        return f"{export}: it is not recorded in MLflow: {error}"
    try:
        kept = _snapshot(queue, export, run_id)
    except BaseException:
        queue.close(discard=True)
        raise
    if kept is None:
        queue.close(discard=True)
        return f"{export}: it is not recorded in MLflow, as no copy of it could be kept: make room, and export again."
    queue.enqueue("export", **kept, run=run_id)
    queue.flush(FINAL_SECONDS)
    behind = queue.behind
    queue.close()
    return behind


def _snapshot(queue: WriteQueue, export: Path, run_id: str) -> dict[str, Any] | None:
    """Keep a copy of an export folder as MLflow needs it; return what names it in an operation, None if that failed."""
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / export.name
        shutil.copytree(export, copy)
        if (copy / GRAPH).is_file():
            _add_flavor(copy, run_id)
        return queue.snapshot(copy)


def _add_flavor(folder: Path, run_id: str) -> None:
    """Make an export folder a model of MLflow's flavour `onnx`, which takes token ids and masks."""
    import mlflow.onnx
    import onnx
    import onnxruntime

    with TemporaryDirectory() as scratch:
        made = Path(scratch) / "model"
        mlflow.onnx.save_model(
            onnx.load(folder / GRAPH),
            str(made),
            mlflow_model=Model(f"{EXPORTS}/{folder.name}", run_id),
            signature=SIGNATURE,
            pip_requirements=[f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"],
            onnx_execution_providers=["CPUExecutionProvider"],
            save_as_external_data=False,
        )
        for path in made.iterdir():
            if path.name != GRAPH:  # the exported one, with the digest in export.json, stays
                shutil.move(path, folder / path.name)
    follow_umask(folder)
