"""One run and what is recorded in it."""

import math
from pathlib import Path
from typing import Any

from datasets import Dataset
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset

from src.config import Config
from src.data import Origin, PairData, digest
from src.encoder import BaseModel
from src.errors import in_short
from src.metrics.names import PEARSON, SPEARMAN, VALIDATION_LOSS
from src.tracking.outbox import AT_LAST, Outbox
from src.training.curve import CurveRow


class Run:
    """One run; a `Listener` of the training that fills its curves.

    Recording never fails: what the store does not take now stays in the journal and is sent later.
    """

    def __init__(self, outbox: Outbox, config: Config) -> None:
        self.outbox = outbox
        self.config = config

    @property
    def run_id(self) -> str:
        """The run's id in the store, or a name that finds it once the store has it."""
        return self.outbox.journal.run_id

    @property
    def behind(self) -> str | None:
        """What the store does not have yet, why, and what to do; None if it has all."""
        waiting, problem = len(self.outbox.journal.pending), self.outbox.problem
        if not waiting:
            return None
        why = in_short(f"{type(problem).__name__}: {problem}") if problem else "the store is slow"
        return f"{waiting} entries wait in {self.outbox.journal.folder} ({why}): python -m src.sync sends them"

    def on_start(self, steps: int, step: int) -> None:
        """Nothing to record."""

    def on_values(self, step: int, values: dict[str, float]) -> None:
        """Record values of a step."""
        self.log_metrics(values, step)

    def on_row(self, row: CurveRow) -> None:
        """Record the values of an evaluation."""
        values = {VALIDATION_LOSS: row.validation_loss, "epoch": row.epoch}
        self.log_metrics({**values, SPEARMAN: row.spearman_cosine, PEARSON: row.pearson_cosine}, row.step)

    def log_metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Record values under their names, once a step; one that is not a finite number is left out."""
        self.note_metrics(values, step)
        self.outbox.pass_on()

    def note_metrics(self, values: dict[str, float], step: int) -> None:
        """Write values down to be recorded with what comes next; from any thread."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self.outbox.journal.append("metrics", values=finite, step=step)

    def log_sources(self, pairs: PairData, base: BaseModel) -> None:
        """Record both sets of pairs as inputs, and data and base model as tags."""
        origin = pairs.origin
        self._log_dataset(pairs.train, origin, "training")
        self._log_dataset(pairs.dev, origin, "evaluation")
        tags = {"data.source": pairs.source, "data.name": origin.name, "data.note": origin.note or ""}
        self.set_tags(tags | {"model.base": base.name, "model.revision": base.revision or ""})

    def _log_dataset(self, pairs: Dataset, origin: Origin, context: str) -> None:
        source = resolve_dataset_source(origin.url) if origin.url else CodeDatasetSource(tags={})
        dataset = MetaDataset(source, name=f"{origin.name} {context}", digest=digest(pairs))
        self.outbox.put("dataset", dataset=dict(dataset._to_mlflow_entity()), context=context)

    def log_result(self, folder: Path, files: list[str], values: dict[str, Any]) -> None:
        """Record files of the result folder as artifacts, its numbers as metrics and its words as tags."""
        self.log_files(folder, files)
        numbers = {key: float(value) for key, value in values.items() if isinstance(value, int | float)}
        self.log_metrics(numbers, int(values["steps"]))
        self.set_tags({f"result.{key}": value for key, value in values.items() if isinstance(value, str)})

    def log_files(self, folder: Path, files: list[str]) -> None:
        """Record files, named from `folder`, as artifacts of these names."""
        for name in files:
            parent = Path(name).parent.as_posix()
            kept = self.outbox.journal.keep(folder / name)
            self.outbox.put("artifact", kept=kept, parent=None if parent == "." else parent)

    def log_folder(self, folder: Path) -> None:
        """Record all files of a folder as artifacts."""
        self.log_files(folder, [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()])

    def set_tags(self, tags: dict[str, str]) -> None:
        """Record tags."""
        self.outbox.put("tags", tags=tags)

    def close_children(self) -> None:
        """Mark children that still count as running as killed: nobody runs them any more."""
        self.outbox.put("close_children")

    def log_model(self, folder: Path, step: int, scores: dict[str, float]) -> str | None:
        """Record the encoder in a folder with signature and input example.

        Returns its new version if models are registered and the store has taken it. The version carries the scores as
        tags: its page in the UI shows nothing else of them.
        """
        if not self.config.tracking.models:
            return None
        kept, register = self.outbox.journal.keep(folder), self.config.tracking.register
        self.outbox.journal.append("model", kept=kept, step=step, register=register, scores=scores)
        self.outbox.flush(AT_LAST)
        return self.outbox.journal.facts.get("model_version")

    def end(self, status: str) -> None:
        """Record the end of the run."""
        self.outbox.journal.append("end", status=status)
        self.outbox.flush(AT_LAST)
        self.outbox.journal.close()
