"""The result of a run, and its file `metrics.json`, which only this module reads and writes."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import pandas as pd

from src.evaluation.metrics import PEARSON, SPEARMAN, VALIDATION_LOSS, Metric, leading_metric
from src.evaluation.names import check_names, own
from src.evaluation.statistics import Estimate
from src.utils.errors import UserError, shorten
from src.utils.files import write_text
from src.utils.staging import roll_forward
from src.utils.text import to_json

RESULT_FILE = "metrics.json"
RUN_FILES = (RESULT_FILE, "config.yaml", "curve.csv", "predictions.parquet")
"""Files that a comparison or a report needs of a finished run."""
GAIN_OVER_SEEDS = "_gain_over_seeds"
"""End of the key of `SeedSummary.gain_over_seeds`, after the name of the leading metric."""
ESTIMATES = ("before", "gain")
"""Fields of `Result` whose keys in metrics.json begin with the name of the leading metric."""


@dataclass(frozen=True)
class SeedSummary:
    """Summary of trainings of one recipe with several seeds."""

    parent_run_id: str
    """Id of the parent run of the seeds' runs."""
    seeds: str
    """The seeds, separated by spaces."""
    means: dict[str, Estimate]
    """For each metric of the result the mean over the seeds, with its 95 % bootstrap interval over pairs or queries and
    seeds; without one for other sets of a mixture."""
    deviations: dict[str, float]
    """For each metric the standard deviation over the seeds."""
    gain_over_seeds: Estimate | None = None
    """Leading metric of the mean of the seeds' weights minus the mean of the seeds' metrics, with its paired interval
    over pairs or queries; None if the weights were not averaged."""

    @property
    def count(self) -> int:
        """The number of seeds."""
        return len(self.seeds.split())

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as flat keys of metrics.json."""
        values: dict[str, Any] = {"parent_run_id": self.parent_run_id, "seeds": self.seeds}
        if self.gain_over_seeds:
            values |= self.gain_over_seeds.to_dict(f"{next(iter(self.means))}{GAIN_OVER_SEEDS}")
        for name, mean in self.means.items():
            values |= {**mean.to_dict(f"{name}_mean"), f"{name}_deviation": self.deviations[name]}
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any], names: Iterable[str]) -> Self:
        """Return the summary of the metrics `names` from the content of metrics.json.

        Raises `KeyError` for a missing key.
        """
        names = list(names)
        means = {name: Estimate.from_dict(values, f"{name}_mean") for name in names}
        deviations = {name: float(values[f"{name}_deviation"]) for name in means}
        key = f"{names[0]}{GAIN_OVER_SEEDS}"
        gain = Estimate.from_dict(values, key) if key in values else None
        return cls(values["parent_run_id"], values["seeds"], means, deviations, gain)


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
    spearman_ceiling: float | None
    """Spearman of a perfect ranking, which tied gold scores keep below 1; None for another shape."""
    base_model: str
    scores: dict[str, Estimate]
    """Metrics with 95 % bootstrap intervals by name, the leading one first; those of embeddings cut to fewer dimensions
    and of the other sets of a mixture (`SET/NAME`, on their dev split) last."""
    before: Estimate
    """Leading metric of the base encoder on dev, without an interval in a file of an earlier version."""
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
    gain: Estimate | None = None
    """Leading metric on the evaluated split minus that of the base encoder, with its paired interval; None in a file of
    an earlier version."""
    shape: str = "scored"
    """Shape of the examples, which determines the leading metric."""
    evaluated_digest: str = ""
    """Digest of the evaluated examples in any order; empty in a file of an earlier version."""
    seeds: SeedSummary | None = None
    """Summary of all seeds, if this is the result of the first of several, or of the mean of their weights.

    Of the latter `train_seconds` and `evaluation_seconds` are sums over the seeds, `pairs_per_second` is their mean
    speed, and `peak_memory_mb` the highest."""

    @property
    def is_average(self) -> bool:
        """Whether the model has the mean of the weights of several seeds."""
        return self.seeds is not None and self.seeds.gain_over_seeds is not None

    @property
    def metric(self) -> Metric:
        """The leading metric."""
        return leading_metric(self.shape)

    @property
    def leading(self) -> Estimate:
        """The leading metric's value with its interval."""
        return self.scores[self.metric.name]

    @property
    def reported(self) -> dict[str, float]:
        """The values measured on the evaluated split, by key in metrics.json; those of other sets are not."""
        values: dict[str, float] = {}
        for name in own(self.scores):
            values |= self.scores[name].to_dict(name)
        return values | {VALIDATION_LOSS: self.validation_loss}

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
            elif name in ESTIMATES:
                values |= value.to_dict(f"{self.metric.name}_{name}") if value else {}
            elif name != "seeds":
                values[name] = value
        return values | {"metrics": " ".join(self.scores)} | (self.seeds.to_dict() if self.seeds else {})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the result from the content of metrics.json.

        An earlier version wrote results of scored pairs only, without an interval of `before`.

        Raises `KeyError` for a missing key, `ValueError` for an unknown shape or metric.
        """
        values = {"shape": "scored", "metrics": f"{SPEARMAN} {PEARSON}", "evaluated_digest": ""} | values
        names = check_names(values["shape"], values["metrics"].split(" "))
        plain = {each.name for each in fields(cls)} - {"scores", "seeds", *ESTIMATES}
        before, gain = (f"{names[0]}_{each}" for each in ESTIMATES)
        return cls(
            **{name: values[name] for name in plain},
            scores={name: Estimate.from_dict(values, name) for name in names},
            before=Estimate.from_dict(values, before),
            gain=Estimate.from_dict(values, gain) if gain in values else None,
            seeds=SeedSummary.from_dict(values, names) if "seeds" in values else None,
        )

    def save(self, folder: Path) -> None:
        """Write metrics.json into the folder, atomically."""
        write_text(folder / RESULT_FILE, to_json(self.to_dict(), indent=2) + "\n")

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


def read_curve(folder: Path, metric: str) -> pd.DataFrame:
    """Return the curve of a result with this leading metric.

    Raises `UserError` if its file is missing or damaged.
    """
    path = folder / "curve.csv"
    try:
        curve = pd.read_csv(path)
        curve[["epoch", "step", "training_loss", "validation_loss", metric]].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: expected the curve of a training, found {shorten(error)}: train it again.") from error
    return curve


def missing_file(folder: Path) -> str | None:
    """Return the first of `RUN_FILES` that a folder lacks, None if it has all."""
    roll_forward(folder)
    return next((name for name in RUN_FILES if not (folder / name).is_file()), None)
