"""Tracked runs: start, resume, record and end."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets import Dataset
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset

from src.config import Config
from src.config.schema import flatten
from src.config.tracking import redact_message
from src.config.words import default_run_name
from src.data import ExampleSet, Provenance, digest
from src.encoder import BaseModel
from src.evaluation.metrics import VALIDATION_LOSS
from src.evaluation.names import by_dimension, headline
from src.tracking.links import run_page, runs_page, ui_address, version_page
from src.tracking.opening import open_queue
from src.tracking.queue import FINAL_SECONDS, DiscardingQueue, WriteQueue
from src.tracking.system_metrics import SystemMonitor
from src.tracking.tags import NOTE, RUN_NAME, SHAPE
from src.tracking.views import SCORES
from src.training.callbacks import CurveRow
from src.utils.errors import TrainingStopped
from src.utils.processes import is_main_process


class Run:
    """One MLflow run; as a `TrainingCallback` it records the curves.

    Recording never fails: operations that the store does not accept stay in the journal and are sent later.
    """

    def __init__(self, queue: WriteQueue | DiscardingQueue, config: Config) -> None:
        self.queue = queue
        self.config = config

    @property
    def run_id(self) -> str:
        """The run's id in the store, or a key that identifies it until the store has given one."""
        return self.queue.run_id

    def pages(self, view: str = SCORES) -> dict[str, str]:
        """Return the addresses of the run's pages in the MLflow UI; empty until the store has recorded the run.

        `view`: that of the list of runs.
        """
        experiment_id, ui = self.queue.experiment_id, ui_address(self.config.tracking)
        if experiment_id is None:
            return {}
        pages = {"runs": runs_page(ui, experiment_id, view), "run": run_page(ui, experiment_id, self.run_id)}
        version = self.queue.model_version
        return pages | ({"version": version_page(ui, self.config.name, version)} if version else {})

    @property
    def behind(self) -> str | None:
        """Message with the number of unsent operations, the reason and what to do; None if all are sent."""
        return self.queue.behind

    def on_train_begin(self, steps: int, step: int) -> None:
        """Record nothing."""

    def on_step(self, step: int, values: dict[str, float]) -> None:
        """Record the values of a step."""
        self.log_metrics(values, step)

    def on_evaluate(self, row: CurveRow) -> None:
        """Record the values of an evaluation."""
        self.log_metrics({VALIDATION_LOSS: row.validation_loss, "epoch": row.epoch, **row.metrics}, row.step)

    def log_metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Record the finite ones of the values, once for each name and step."""
        self.enqueue_metrics(values, step)
        self.queue.flush_if_due()

    def enqueue_metrics(self, values: dict[str, float], step: int) -> None:
        """Enqueue finite values without sending them; safe in any thread."""
        self.queue.enqueue("metrics", values=_finite(values), step=step)

    def log_sources(self, examples: ExampleSet, base: BaseModel) -> None:
        """Record the examples of each set and split as inputs, and data and base model as tags."""
        for name, each in examples.sets.items():
            self._log_inputs(each, examples.suffix(name))
        data = examples.provenance
        tags = {"data.source": examples.source, "data.name": data.name, "data.note": data.note or ""}
        if examples.others:
            tags["data.sets"] = ", ".join(f"{name}: {each.provenance.name}" for name, each in examples.sets.items())
        tags |= {SHAPE: examples.shape.name, "model.base": base.name, "model.revision": base.revision or ""}
        self.set_tags(tags)

    def _log_inputs(self, examples: ExampleSet, suffix: str) -> None:
        """Record the splits of one set; `suffix`: end of their contexts, with the name of a further set."""
        for split, context in ((examples.train, "training"), (examples.dev, "evaluation"), (examples.test, "test")):
            if split is not None:
                self._log_input(examples.provenance, split, f"{context}{suffix}")

    def _log_input(self, data: Provenance, split: Dataset, context: str) -> dict[str, str]:
        """Record a split as an input, and return its name and digest."""
        source = resolve_dataset_source(data.url) if data.url else CodeDatasetSource(tags={})
        key = _dataset_key(data.name, split, context)
        self._record("dataset", dataset=MetaDataset(source, **key).to_dict(), context=context)
        return key

    def log_measured(
        self, values: dict[str, float], step: int, examples: tuple[Provenance, Dataset] | None, context: str
    ) -> None:
        """Record finite metrics of the run's model, and as an input the examples they were measured on, if known."""
        key = self._log_input(*examples, context) if examples else None
        self._record("measured", metrics=_finite(values), evaluated=key, step=step)

    def log_result(self, folder: Path, files: list[str], values: dict[str, Any]) -> None:
        """Record files of the result folder as artifacts, fractions as metrics, and other values as tags.

        The reported scores become the latest values of their metrics, after those of the curve: they may have been
        measured on test, or of the best checkpoint. Counts would only be charts with one point.
        """
        self.log_files(folder, files)
        metrics = _finite({key: value for key, value in values.items() if isinstance(value, float)})
        self._record("metrics", values=metrics, step=int(values["steps"]), reported=True)
        self.set_tags({f"result.{key}": str(value) for key, value in values.items() if isinstance(value, str | int)})

    def log_files(self, folder: Path, files: list[str]) -> None:
        """Record files, given relative to `folder`, as artifacts under the same names."""
        for name in files:
            parent = Path(name).parent.as_posix()
            if kept := self.queue.snapshot(folder / name):
                self._record("artifact", **kept, parent=None if parent == "." else parent)

    def log_folder(self, folder: Path) -> None:
        """Record all files of a folder as artifacts."""
        self.log_files(folder, [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()])

    def log_model(
        self, folder: Path, step: int, metrics: dict[str, float], pairs: ExampleSet | None = None
    ) -> str | None:
        """Record the encoder in a folder; return its registered version, or None if the store has not confirmed one.

        The finite ones of its metrics, measured on the reported split of the pairs, are recorded with it; those that a
        summary shows also become tags of the version, the leading one, which is the first, for each dimension.
        """
        if not self.config.tracking.models:
            return None
        if kept := self.queue.snapshot(folder):
            values = _finite(metrics)
            shown = headline(values)
            shown += by_dimension(shown[0], values).values() if shown else []
            self.queue.enqueue(
                "model",
                **kept,
                step=step,
                register=self.config.tracking.register,
                scores={name: values[name] for name in shown},
                metrics=values,
                evaluated=_reported_key(pairs) if pairs else None,
            )
        self.queue.flush(FINAL_SECONDS)
        return self.queue.model_version

    def set_tags(self, tags: dict[str, str]) -> None:
        """Record tags."""
        self._record("tags", tags=tags)

    def set_description(self, text: str) -> None:
        """Record the description that MLflow shows above the run."""
        self.set_tags({NOTE: text})

    def close_children(self) -> None:
        """End child runs with the status RUNNING as KILLED; to be called only when no process runs them."""
        self._record("close_children")

    def end(self, status: str) -> None:
        """Record the end of the run, send what is pending, and close the journal."""
        self.queue.end(status)

    def _record(self, name: str, **values: Any) -> None:
        self.queue.enqueue(name, **values)
        self.queue.flush_if_due()


@contextmanager
def start_run(config: Config, tags: dict[str, str], former: str | None = None, needed: bool = False) -> Iterator[Run]:
    """Start a run with the configuration as parameters, or resume the `former` one, for the duration of the block.

    A new run is named `tracking.run_name`, else by its seed and the time.

    The run ends FINISHED; FAILED, with the reason in the tag `failure`, if an error leaves the block; KILLED if it
    is stopped or interrupted. While the store is unreachable, operations are kept in a journal in `config.folder`.
    Processes other than the main one get a run that records nothing.

    Raises `UserError` if the store cannot be used; with `needed`, also if it is only unreachable.
    """
    if not is_main_process():
        yield Run(DiscardingQueue(), config)
        return
    named = {RUN_NAME: config.tracking.run_name or default_run_name(config), **tags}
    run = Run(open_queue(config, named, former, needed), config)
    status = "FAILED"
    try:
        with SystemMonitor(run.enqueue_metrics) if config.tracking.system_metrics else nullcontext():
            yield run
        status = "FINISHED"
    except TrainingStopped as stop:
        run.set_tags({"stopped": str(stop)})
        status = "KILLED"
        raise
    except Exception as error:
        run.set_tags({"failure": _without_secrets(f"{type(error).__name__}: {error}", config)})
        raise
    except BaseException:
        status = "KILLED"
        raise
    finally:
        run.end(status)


def _without_secrets(message: str, config: Config) -> str:
    for _, value in flatten(asdict(config)):
        if "://" in str(value):
            message = redact_message(message, str(value))
    return message


def _reported_key(pairs: ExampleSet) -> dict[str, str]:
    """Return name and digest of the reported split, as those of the run's input."""
    return _dataset_key(pairs.provenance.name, pairs.reported, "evaluation" if pairs.test is None else "test")


def _dataset_key(name: str, pairs: Dataset, context: str) -> dict[str, str]:
    return {"name": f"{name} {context}", "digest": digest(pairs)}


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
