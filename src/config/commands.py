"""Settings of sweeps, benchmarks, predictions and uploads."""

import re
from dataclasses import dataclass, field
from typing import Any

from src.config.data import QUOTING
from src.config.tracking import TrackingConfig, redact
from src.config.training import PRECISIONS
from src.utils.errors import UserError, require, require_fields

SAMPLERS = ("tpe", "random", "grid", "gp")
PRUNERS = ("percentile", "median", "hyperband", "wilcoxon", "none")
ENGINES = ("local", "ray")
RIVALS = ("stock_fp32", "stock_bf16", "stock_uncut")
MODELS = "an experiment or model folder, OWNER/NAME on the Hub, models:/NAME/VERSION or e5_small_ko"
"""What a model can be named by, for messages."""
REPO = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
SEARCHABLE = ("model", "loss", "trainer")
"""Parts of the configuration that a trial of a sweep may change."""
INTERVALS = ("eval_steps", "eval_every_epochs", "save_steps", "save_every_epochs")
SET_BY_SWEEP = (
    *("keep", "checkpoints", *INTERVALS, "early_stopping_patience", "resume"),
    *("seed", "seeds", "seeds_result", "threads", "evaluate_suite"),
)
"""Keys of `trainer` that a sweep sets itself."""


def is_searchable(key: str) -> bool:
    """Return whether a sweep can search this key."""
    group, _, name = key.partition(".")
    return bool(name) and group in SEARCHABLE and not (group == "trainer" and name in SET_BY_SWEEP)


@dataclass
class ConfirmConfig:
    """Confirmation of the best trials of a sweep with further seeds."""

    top_k: int = 3
    """Number of best trials that are trained again, besides that of the recipe; 1: the best one wins unconfirmed."""
    seeds: int = 3
    """Further seeds for each of them: trainer.seed + 1, + 2, ...; 0: the best trial wins unconfirmed. At least two are
    needed for the interval of a difference."""

    def __post_init__(self) -> None:
        checks = [("top_k", self.top_k >= 1, "at least 1"), ("seeds", self.seeds >= 0, "at least 0")]
        require_fields(self, "sweep.confirm.", checks)


@dataclass
class SweepConfig:
    """A search for better values of any keys of the configuration."""

    trials: int = 20
    """Total number of finished and pruned trials, including those before an interruption."""
    space: dict[str, Any] = field(default_factory=dict)
    """For each key `choices`, or `low` and `high` with optional `log`, `integer` or `step`: src/sweeping/space.py."""
    sampler: str = "tpe"
    """tpe, random, grid (`choices` or a `step` for every key) or gp (a Gaussian process)."""
    pruner: str = "percentile"
    """Rule by which trials are stopped early, from half of each training on, as long schedules start slowly.
    percentile: those in the lowest tenth; median: those in the lower half; hyperband; wilcoxon; none: no trial."""
    seed: int = 42
    """Seed of the sampler and of the validation split."""
    validation: float = 0.1
    """Share of train (0 to 1, exclusive) that is split off to compare trials on; they train on the rest."""
    folds: int = 0
    """0: one validation part; else cross-validation with as many folds of train (at least 2) in place of `validation`,
    for the trials and their confirmation, at as many times the cost."""
    evaluations: int = 8
    """Evaluations of a trial, at equal intervals, so that trials of different lengths can be compared."""
    workers: int = 1
    """Worker processes; the CPU cores are divided among them."""
    engine: str = "local"
    """local: processes of this machine; ray: tasks on the cluster of RAY_ADDRESS, or on one started on this machine."""
    storage: str | None = None
    """Database of the trials, such as postgresql://USER@HOST/NAME; empty: sweep/study.db in the result folder."""
    heartbeat: int = 40
    """Seconds between heartbeats; a trial on another machine runs again after three intervals without one. If two are
    less than the minute for which a database that does not answer is waited for, a trial may run twice."""
    failures: int = 3
    """Failed trials at which a process stops, and times that a dead worker is replaced; each start counts anew."""
    confirm: ConfirmConfig = field(default_factory=ConfirmConfig)

    def __post_init__(self) -> None:
        unused, default = bool(self.folds), SweepConfig.validation
        checks = [
            ("trials", self.trials >= 1, "at least 1"),
            ("sampler", self.sampler in SAMPLERS, f"one of {list(SAMPLERS)}"),
            ("pruner", self.pruner in PRUNERS, f"one of {list(PRUNERS)}"),
            ("seed", 0 <= self.seed < 2**32, "at least 0 and below 2**32"),
            ("validation", 0 < self.validation < 1, "above 0 and below 1"),
            ("folds", self.folds == 0 or self.folds >= 2, "0, or at least 2"),
            ("validation", not unused or self.validation == default, f"{default} with sweep.folds, which replace it"),
            ("evaluations", self.evaluations >= 1, "at least 1"),
            ("workers", self.workers >= 1, "at least 1"),
            ("engine", self.engine in ENGINES, f"one of {list(ENGINES)}"),
            ("heartbeat", self.heartbeat >= 1, "at least 1 second"),
            ("failures", self.failures >= 1, "at least 1"),
        ]
        require_fields(self, "sweep.", checks)
        known = self.storage is None or self.storage.split(":", 1)[0].split("+")[0] in ("postgresql", "sqlite")
        shown = redact(self.storage or "")
        require(known, "sweep.storage", "sqlite:///PATH or postgresql://USER@HOST/NAME", shown)


@dataclass
class BenchConfig:
    """Settings of a comparison of trainers on the same recipe."""

    rounds: int = 3
    """Rounds in which each trainer runs once, with a new seed in each round."""
    rivals: list[str] = field(default_factory=lambda: list(RIVALS))
    """Trainers to compare with: the stock one in fp32, in bf16, and in fp32 on the encoder's whole vocabulary."""
    max_steps: int = -1
    """Stop each training after this many steps; -1: the whole recipe."""
    ablation: bool = False
    """Measure what each speed-up of our trainer is worth, instead of the comparison with other trainers."""
    growth: bool = False
    """Measure start-up time, speed and memory by the number of pairs, instead of the comparison."""
    sizes: list[int] = field(default_factory=lambda: [10_000, 100_000, 1_000_000])
    """Numbers of pairs in the growth table."""
    growth_steps: int = 50
    """Steps of each training of the growth table."""
    folder: str = "experiments/bench"
    """Folder of the results."""

    def __post_init__(self) -> None:
        known = bool(self.rivals) and set(self.rivals) <= set(RIVALS)
        checks = [
            ("rounds", self.rounds >= 1, "at least 1"),
            ("rivals", known, f"some of {list(RIVALS)}"),
            ("max_steps", self.max_steps == -1 or self.max_steps >= 1, "at least 1, or -1"),
            ("growth", not (self.growth and self.ablation), "false with bench.ablation"),
            ("sizes", bool(self.sizes) and min(self.sizes) >= 100, "a non-empty list of numbers of at least 100"),
            ("growth_steps", self.growth_steps >= 1, "at least 1"),
        ]
        require_fields(self, "bench.", checks)


@dataclass
class PredictConfig:
    """All settings of a prediction: `pairs` to score, or `queries` to rank `candidates` for."""

    model: str = ""
    """Experiment folder, model folder, `owner/name` on the Hub, models:/NAME/VERSION, or e5_small_ko (untrained)."""
    pairs: str | None = None
    """CSV, TSV, JSON, JSONL or Parquet file of sentence pairs."""
    queries: str | None = None
    """CSV, TSV, JSON, JSONL or Parquet file of texts to rank candidates for."""
    candidates: str | None = None
    """CSV, TSV, JSON, JSONL or Parquet file of the texts to rank."""
    output: str | None = None
    """File to write, its extension selects the format; empty: print the first rows."""
    sentence1: str = "sentence1"
    """Column of the first sentence of a pair; a nested field of JSON or Parquet has a dotted name, such as `pair.a`."""
    sentence2: str = "sentence2"
    """Column of the second sentence of a pair."""
    column: str | None = None
    """Text column of queries and candidates; empty: the only column, else `text`, else `sentence1`."""
    candidate_column: str | None = None
    """Text column of the candidates; empty: as `column`."""
    quoting: str = "auto"
    """Quotation marks of CSV and TSV input: auto, csv or none, as data.quoting of a training."""
    top_k: int = 5
    """Candidates returned for each query."""
    batch_size: int = 128
    """Sentences per forward pass, on average."""
    precision: str = "auto"
    """fp32 (the scores of sentence-transformers), bf16, or auto: bf16 if this machine computes it faster."""
    threads: int = 0
    """CPU threads; 0: as many as the process has cores."""
    cache_mb: int = 300
    """Size in MiB of the cache of embeddings; 300 hold about 175,000 sentences at 384 dimensions."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """MLflow store in which models:/ addresses are looked up."""

    def __post_init__(self) -> None:
        checks = [
            ("model", bool(self.model.strip()), MODELS),
            ("quoting", self.quoting in QUOTING, f"one of {list(QUOTING)}"),
            ("top_k", self.top_k >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("precision", self.precision in PRECISIONS, f"one of {list(PRECISIONS)}"),
            ("threads", self.threads >= 0, "at least 0"),
            ("cache_mb", self.cache_mb >= 0, "at least 0"),
        ]
        require_fields(self, "", checks)
        given = [key for key in ("pairs", "queries", "candidates") if getattr(self, key)]
        if given not in (["pairs"], ["queries", "candidates"]):
            raise UserError(
                "expected pairs=FILE to score, or queries=FILE candidates=FILE to rank,"
                f" found {' and '.join(given) or 'neither'}: set one of the two."
            )


@dataclass
class PushConfig:
    """All settings of an upload of a model to the Hugging Face Hub."""

    model: str = ""
    """Experiment folder, model folder, models:/NAME/VERSION or models:/NAME@ALIAS."""
    repo: str = ""
    """OWNER/NAME on the Hub; it is made if it does not exist."""
    private: bool = True
    """Make a new repository private, and refuse one that is public; an existing one stays as it is."""
    revision: str | None = None
    """Branch to upload to, made if it does not exist; empty: main."""
    message: str = "Upload model"
    """Message of the commit."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """MLflow store in which models:/ addresses are looked up."""

    def __post_init__(self) -> None:
        checks = [
            ("model", bool(self.model.strip()), "an experiment or model folder, or models:/NAME/VERSION"),
            ("repo", REPO.fullmatch(self.repo) is not None, "OWNER/NAME on the Hub"),
            ("revision", self.revision is None or bool(self.revision.strip()), "the name of a branch, or null"),
            ("message", bool(self.message.strip()), "a text"),
        ]
        require_fields(self, "", checks)
