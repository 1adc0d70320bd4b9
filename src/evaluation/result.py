"""The result of a run, and its file `metrics.json`, which only this module reads and writes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from src.evaluation.metrics import METRICS, SPEARMAN, VALIDATION_LOSS
from src.evaluation.statistics import Estimate
from src.utils.errors import UserError, shorten
from src.utils.files import write_text
from src.utils.staging import roll_forward

RESULT_FILE = "metrics.json"
RUN_FILES = (RESULT_FILE, "config.yaml", "curve.csv", "predictions.parquet")
"""Files that a comparison or a report needs of a finished run."""
BEFORE = f"{SPEARMAN}_before"
"""Key of the Spearman of the base encoder."""

REPORTED = (*(f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")), VALIDATION_LOSS)
"""Keys of the values measured on the pairs of the final score."""


@dataclass(frozen=True)
class SeedSummary:
    """Summary of trainings of one recipe with several seeds."""

    parent_run_id: str
    """Id of the parent run of the seeds' runs."""
    seeds: str
    """The seeds, separated by spaces."""
    means: dict[str, Estimate]
    """For each metric the mean over the seeds, with its 95 % bootstrap interval over pairs and seeds."""
    deviations: dict[str, float]
    """For each metric the standard deviation over the seeds."""

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as flat keys of metrics.json."""
        values: dict[str, Any] = {"parent_run_id": self.parent_run_id, "seeds": self.seeds}
        for name, mean in self.means.items():
            values |= {**mean.to_dict(f"{name}_mean"), f"{name}_deviation": self.deviations[name]}
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the summary from the content of metrics.json; raise `KeyError` for a missing key."""
        return cls(
            values["parent_run_id"],
            values["seeds"],
            {name: Estimate.from_dict(values, f"{name}_mean") for name in METRICS},
            {name: float(values[f"{name}_deviation"]) for name in METRICS},
        )


@dataclass(frozen=True)
class Result:
    """Metrics of a run, with its data, model, settings and cost; a flat object in `metrics.json`."""

    experiment: str
    run_id: str
    model_version: str | None
    """Version in the model registry."""
    data_source: str
    """local, hub, sample, generated or files."""
    data_note: str
    """Caveat about the data, such as inferred columns; empty if there is none."""
    train_pairs: int
    dev_pairs: int
    evaluated_on: str
    """Split of `scores`: test if there is one, else dev."""
    evaluated_pairs: int
    spearman_ceiling: float
    """Spearman of a perfect ranking, which tied gold scores keep below 1."""
    base_model: str
    scores: dict[str, Estimate]
    """Spearman and Pearson with 95 % bootstrap intervals, by the names in `METRICS`."""
    before: float
    """Spearman of the base encoder on dev, before training."""
    validation_loss: float
    steps: int
    warmup_steps: int
    precision: str
    """fp32 or bf16."""
    threads: int
    device: str
    startup_seconds: float
    """From the start of the process to the first step, with the evaluation of the base encoder."""
    train_seconds: float
    """Wall time of training without evaluations; after an interruption, of the remaining steps."""
    evaluation_seconds: float
    """Wall time of the evaluations of the curve, from that of the base encoder on; not that of `scores`."""
    pairs_per_second: float
    peak_memory_mb: float
    """Peak resident memory of the process."""
    seeds: SeedSummary | None = None
    """Summary of all seeds, if this is the result of the first of several."""

    @property
    def spearman(self) -> Estimate:
        """Spearman with its interval."""
        return self.scores[SPEARMAN]

    @property
    def reported(self) -> dict[str, float]:
        """The values of `REPORTED` by key."""
        values = self.to_dict()
        return {name: values[name] for name in REPORTED}

    def comparable(self, published: Mapping[str, float]) -> Mapping[str, float]:
        """Return a published card's metrics, empty if the pairs of this result were written for this project."""
        return {} if self.data_source == "sample" else published

    def to_dict(self) -> dict[str, Any]:
        """Return the result as flat keys of metrics.json."""
        values: dict[str, Any] = {}
        for name, value in vars(self).items():
            if name == "scores":
                for metric, estimate in value.items():
                    values |= estimate.to_dict(metric)
            elif name != "seeds":
                values[BEFORE if name == "before" else name] = value
        return values | (self.seeds.to_dict() if self.seeds else {})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the result from the content of metrics.json; raise `KeyError` for a missing key."""
        plain = {each.name for each in fields(cls)} - {"scores", "before", "seeds"}
        return cls(
            **{name: values[name] for name in plain},
            scores={name: Estimate.from_dict(values, name) for name in METRICS},
            before=values[BEFORE],
            seeds=SeedSummary.from_dict(values) if "seeds" in values else None,
        )

    def save(self, folder: Path) -> None:
        """Write metrics.json into the folder, atomically."""
        write_text(folder / RESULT_FILE, json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the result of a finished run in the folder.

        Raises `UserError` if there is none, or its file is damaged or incomplete.
        """
        path = folder / RESULT_FILE
        roll_forward(folder)
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UserError(f"{folder}: expected a finished run, found no {RESULT_FILE}: train it first.") from None
        except KeyError as error:
            raise UserError(f"{path}: expected the key {error}, found none: train it again.") from error
        except PermissionError as error:
            raise UserError(f"{path}: expected a readable file, found {error.strerror}: change its mode.") from error
        except (ValueError, TypeError, AttributeError, OSError) as error:
            raise UserError(f"{path}: expected a result, found {shorten(error)}: train it again.") from error


def missing_file(folder: Path) -> str | None:
    """Return the first of `RUN_FILES` that a folder lacks, None if it has all."""
    roll_forward(folder)
    return next((name for name in RUN_FILES if not (folder / name).is_file()), None)
