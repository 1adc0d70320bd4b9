"""Settings of evaluations on a suite of sets, and of merged models."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.config.commands import MODELS
from src.config.data import build_source
from src.config.tracking import TrackingConfig
from src.config.training import PRECISIONS
from src.utils.errors import UserError, require, require_fields

BASE = "base"
"""Name of the base encoder of an experiment."""
AUTO = "auto"
SPLITS = ("dev", "test")
NAME = re.compile(r"\w([\w .-]{0,48}\w)?")
"""Names of suites and sets, which are part of the names of metrics."""
NAMES = "at most 50 letters, digits, spaces or any of _ . -"


@dataclass(frozen=True)
class SuiteSet:
    """One set of a suite."""

    name: str
    sources: list[Any]
    """Data configurations, of which the first that can be reached is used."""
    split: str | None = None
    """dev or test; None: test if there is one, else dev."""
    trains: bool = True
    """Whether the train split is other examples than the evaluated ones, on which something may be chosen."""


@dataclass
class SuiteConfig:
    """Sets of examples on which models are compared."""

    name: str = "mine"
    sets: list[Any] = field(default_factory=list)
    """Files, or mappings: `name`, `split` (dev or test) and the settings of a data configuration, those of data=pairs
    or with `source` of review_sts, project_match or review_search. Of `first_of`, a list of such settings, the first
    that can be reached is used. A file, or `dev` without `train`, is evaluated as a whole."""

    def __post_init__(self) -> None:
        require(bool(NAME.fullmatch(self.name)), "suite.name", NAMES, self.name)
        names = [one.name for one in self.parts()]
        require(len(set(names)) == len(names), "suite.sets", "a list of sets with different names", names)

    def parts(self) -> list[SuiteSet]:
        """Return the sets; raise `UserError` for an unknown key or an invalid value."""
        return [_set(given) for given in self.sets]


@dataclass
class EvaluateConfig:
    """All settings of an evaluation on a suite."""

    model: str = ""
    """Experiment folder, model folder, `owner/name` on the Hub, models:/NAME/VERSION, or e5_small_ko (untrained)."""
    against: Any = None
    """Models to compare it with: one or a list, named as `model`; base: the base encoder of the experiment."""
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    mteb: list[str] = field(default_factory=list)
    """Tasks of MTEB to run as well, such as KorSTS; needs the extra `mteb` and the Hub."""
    output: str | None = None
    """Folder of evaluation.json, .md and .png; empty: that of the experiment, for other models none is written."""
    record: bool = True
    """Record the metrics in the run of the experiment, and its model card."""
    batch_size: int = 64
    """Sentences per forward pass."""
    precision: str = "fp32"
    """fp32, in which metrics equal those of MTEB and of trainings; bf16, which moves them by up to 0.001; or auto: bf16
    if this machine computes it faster."""
    threads: int = 0
    """CPU threads; 0: as many as the process has cores."""
    seed: int = 42
    """Seed of bootstrap and permutations."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """MLflow store with the run of the experiment, in which models:/ addresses are looked up too."""

    def __post_init__(self) -> None:
        self.against = _names("against", self.against)
        checks = [("model", bool(self.model.strip()), MODELS), *_common_checks(self)]
        require_fields(self, "", checks)
        require(self.model not in self.against, "against", "models other than model", self.against)
        require(bool(self.suite.sets or self.mteb), "suite.sets", "a list with at least one set", self.suite.sets)


@dataclass
class MergeConfig:
    """All settings of a merged model."""

    model: Any = None
    """Experiment folder, or a list of several, whose mean weights are taken; the first gives data and settings."""
    base: str | None = BASE
    """Model to merge with, named as for an evaluation; base: the base encoder of the experiment, null: none."""
    weight: Any = 0.5
    """Share (0 to 1) of `model` in the weights, the rest is that of `base`; auto: chosen on examples that are not
    reported."""
    keep: float = 0.95
    """auto: share of the gain over `base` on a part of train that must be kept."""
    name: str = ""
    """Name of the merged experiment; empty: that of the first model with _merged appended."""
    folder: str | None = None
    """Folder of the result; empty: NAME beside the folder of the first model."""
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    """auto: sets whose train splits decide on the weight besides that of the experiment."""
    choose_pairs: int = 300
    """auto: examples of each set on which the weight is chosen."""
    batch_size: int = 64
    """Sentences per forward pass."""
    precision: str = AUTO
    """fp32, bf16, or auto: bf16 if this machine computes it faster; of the choice of the weight alone."""
    threads: int = 0
    """CPU threads; 0: as many as the process has cores."""
    seed: int = 42
    """Seed of the choice of examples."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        self.model = _names("model", self.model)
        share = self.weight if isinstance(self.weight, int | float) and not isinstance(self.weight, bool) else -1.0
        checks = [
            ("model", bool(self.model), "an experiment folder, or a list of several"),
            ("weight", self.weight == AUTO or 0 <= share <= 1, f"between 0 and 1, or {AUTO}"),
            ("keep", 0 <= self.keep <= 1, "between 0 and 1"),
            ("choose_pairs", self.choose_pairs >= 20, "at least 20"),
            *_common_checks(self),
        ]
        require_fields(self, "", checks)
        if self.base is None:
            require(len(self.model) > 1, "model", "a list of at least two models without base", self.model)
            require(self.weight != AUTO, "weight", "a number without base", self.weight)


def _common_checks(settings: EvaluateConfig | MergeConfig) -> list[tuple[str, bool, str]]:
    return [
        ("batch_size", settings.batch_size >= 1, "at least 1"),
        ("precision", settings.precision in PRECISIONS, f"one of {list(PRECISIONS)}"),
        ("threads", settings.threads >= 0, "at least 0"),
        ("seed", 0 <= settings.seed < 2**32, "at least 0 and below 2**32"),
    ]


def _names(key: str, value: Any) -> list[str]:
    """Return one name or a list of them as a list of different names."""
    given: Any = [value] if isinstance(value, str) else [] if value is None else value
    valid = isinstance(given, list) and all(isinstance(name, str) and name.strip() for name in given)
    valid = valid and len(set(given)) == len(given)
    require(valid, key, f"one model or a list of different ones, each {MODELS}", value)
    return list(given)


def _set(given: Any) -> SuiteSet:
    """Return a set of a suite; raise `UserError` for an unknown key or an invalid value."""
    settings = {"dev": given} if isinstance(given, str) else given
    require(isinstance(settings, dict), "suite.sets", "a list of files or mappings", given)
    own: dict[str, Any] = {key: settings.get(key) for key in ("name", "split")}
    rest: dict[str, Any] = {key: value for key, value in settings.items() if key not in own}
    choices = rest.pop("first_of", [{}])
    require(isinstance(choices, list) and bool(choices), "suite.sets", "a list of settings in first_of", choices)
    valid = all(choice is None or isinstance(choice, dict) for choice in choices)
    require(valid, "suite.sets", "mappings of settings in first_of", choices)
    sources = [{**rest, **(choice or {})} for choice in choices]
    name = own["name"] or _default_name(sources[0])
    valid = isinstance(name, str) and NAME.fullmatch(name) is not None
    require(valid, "suite.sets", f"sets whose names are {NAMES}", name)
    require(own["split"] in (None, *SPLITS), f"suite.sets.{name}.split", f"one of {list(SPLITS)}", own["split"])
    trains = all("source" in source or "train" in source for source in sources)
    return SuiteSet(str(name), [_source(source, str(name)) for source in sources], own["split"], trains)


def _source(settings: dict[str, Any], name: str) -> Any:
    if "source" not in settings and "train" not in settings:
        if not settings.get("dev"):
            raise UserError(
                f"suite.sets.{name}: expected dev with a file of examples, or source, found {sorted(settings)}: add it."
            )
        settings = {**settings, "train": settings["dev"]}
    return build_source(settings, f"suite.sets.{name}")


def _default_name(settings: dict[str, Any]) -> Any:
    """Return the name of a set without one: that of its file or source."""
    given = settings.get("dev") or settings.get("train")
    return Path(str(given)).name.split(".")[0] if given else settings.get("source")
