"""Complete configurations of a training, a benchmark and a sweep, and their registration with Hydra."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args, get_origin, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from src.config.commands import BenchConfig, PredictConfig, PushConfig, SweepConfig
from src.config.data import KlueSts, Mixture, PairFiles, ProjectMatch, ReviewSearch
from src.config.evaluation import EvaluateConfig, MergeConfig, SuiteConfig
from src.config.export import ExportConfig
from src.config.model import EmbeddedEncoder, HubEncoder
from src.config.tracking import TrackingConfig
from src.config.training import RANKING_LOSSES, LossConfig, TrainerConfig
from src.utils.errors import UserError, require
from src.utils.processes import world_size

DataConfig = KlueSts | PairFiles | ProjectMatch | ReviewSearch | Mixture
ModelConfig = EmbeddedEncoder | HubEncoder

NAME = re.compile(r"(?!(con|prn|aux|nul|com[0-9]|lpt[0-9]) *(\.|$))\w([\w .-]*[\w-])?", re.IGNORECASE)
"""Names that are valid for a folder, of Windows too, an MLflow experiment and a registered model."""
NAME_BYTES = 255
"""Longest name of a file or folder."""
LOCATIONS = (
    *("folder", "tracking", "data.local_folder", "model.cache", "trainer.resume", "trainer.evaluate_suite"),
    "selection",
)
"""Settings that do not affect the trained model: paths, tracking, resuming, remarks, and what follows the training. The
pairs are compared by digest."""
GROUPLESS = {
    "predict": PredictConfig,
    "push": PushConfig,
    "export": ExportConfig,
    "evaluate": EvaluateConfig,
    "merge": MergeConfig,
}
"""Commands in which `model` is a plain value and not the config group; the only group that they have is `suite`."""
SHOWN = 3
"""Maximum number of differences listed in a message; further ones are only counted."""


@dataclass
class Config:
    """All settings of one training."""

    name: str = MISSING
    """Name of the experiment: its folder below experiments/ and its name in MLflow."""
    folder: str = MISSING
    """Folder of the result."""
    data: Any = MISSING
    """One of the dataclasses of `src.config.data`."""
    model: Any = MISSING
    """One of the dataclasses of `src.config.model`."""
    loss: LossConfig = field(default_factory=LossConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    published: dict[str, float] = field(default_factory=dict)
    """Metrics of a published model card on the same dev pairs, shown next to the result."""
    selection: str = ""
    """How the settings of an experiment were chosen, in one or two sentences, for the model card."""

    def __post_init__(self) -> None:
        allowed = "a letter, digit or _, then letters, digits, spaces or any of _ . -, the last no space or dot"
        require(bool(NAME.fullmatch(self.name)), "name", f"{allowed}, and no device of Windows", self.name)
        size = len(self.name.encode())
        require(size <= NAME_BYTES, "name", f"at most {NAME_BYTES} bytes long", f"{self.name[:20]}… of {size:,} bytes")
        repeatable, seeds = type(self) is Config, self.trainer.seeds
        expected = "empty for a sweep (sweep.confirm.seeds) and a benchmark (bench.rounds)"
        require(repeatable or not seeds, "trainer.seeds", expected, seeds)
        evaluates = self.trainer.evaluate_suite
        require(repeatable or not evaluates, "trainer.evaluate_suite", "false for a sweep and a benchmark", evaluates)
        smallest, size = 2 * world_size(), self.trainer.batch_size
        for loss in (self.loss, *self.part_losses.values()):
            learns = loss.name not in RANKING_LOSSES or size >= smallest
            reason = f"at least {smallest} with loss={loss.name}, which compares the examples of a process's batch"
            require(learns, "trainer.batch_size", reason, size)

    @property
    def part_losses(self) -> dict[str, LossConfig]:
        """The loss of each set of a mixture; what a set does not give is that of `loss`. Empty for other data."""
        parts = self.data.parts(self.loss) if isinstance(self.data, Mixture) else {}
        return {name: part.loss for name, part in parts.items()}


@dataclass
class BenchSettings(Config):
    """All settings of a benchmark."""

    bench: BenchConfig = field(default_factory=BenchConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep = self.trainer.keep
        require(keep == "last", "trainer.keep", "last for a benchmark, whose trainings write no checkpoints", keep)


@dataclass
class SweepSettings(Config):
    """All settings of a sweep."""

    sweep: SweepConfig = field(default_factory=SweepConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        patience = self.trainer.early_stopping_patience
        expected = "empty for a sweep: sweep.pruner stops trials, and the winner trains without evaluations on dev"
        require(patience is None, "trainer.early_stopping_patience", expected, patience)


def register_schemas() -> None:
    """Register the dataclasses with Hydra, so that it rejects misspelt keys and wrong types."""
    store = ConfigStore.instance()
    for group, name, node in (
        ("schema", "train", Config),
        ("schema", "bench", BenchSettings),
        ("schema", "sweep", SweepSettings),
        ("data/schema", "klue_sts", KlueSts),
        ("data/schema", "pair_files", PairFiles),
        ("data/schema", "project_match", ProjectMatch),
        ("data/schema", "review_search", ReviewSearch),
        ("data/schema", "mixture", Mixture),
        ("model/schema", "embedded", EmbeddedEncoder),
        ("model/schema", "hub", HubEncoder),
    ):
        store.store(group=group, name=name, node=node)


def register_groupless(file: Path) -> None:
    """Register `file` as the primary configuration of a command of `GROUPLESS`, its dataclass and suites, with Hydra.

    Hydra would take `model` for the config group `model` if conf/ were on its search path or `register_schemas` had
    been called; such a command therefore does neither.
    """
    store = ConfigStore.instance()
    for option in sorted(file.parent.glob("suite/*.yaml")):
        store.store(group="suite", name=option.stem, node=OmegaConf.load(option))
    store.store(name=f"{file.stem}_schema", node=GROUPLESS[file.stem])
    store.store(name=file.stem, node=OmegaConf.load(file))


def load_suite(file: Path) -> SuiteConfig:
    """Return the suite in a file of conf/suite."""
    settings = OmegaConf.merge(OmegaConf.structured(SuiteConfig), OmegaConf.load(file))
    return cast(SuiteConfig, OmegaConf.to_object(settings))


def to_config(composed: DictConfig) -> Config:
    """Return the composed configuration as plain, checked dataclasses.

    Raises `UserError` if a value is invalid, or + has added an unknown setting; `OmegaConfBaseException` if a mandatory
    value is missing or an interpolation fails.
    """
    config = cast(Config, OmegaConf.to_object(composed))
    _check_known(config)
    if isinstance(config.model, HubEncoder):
        config.model.check_path()
    return config


def _check_known(settings: Any, prefix: str = "") -> None:
    """Raise `UserError` if a part of the settings has one that its dataclass lacks: Hydra adds any setting with +."""
    if not is_dataclass(settings):
        return
    known = {each.name for each in fields(settings)}
    for name, part in vars(settings).items():
        _check_known(part, f"{prefix}{name}.")
    if unknown := sorted(vars(settings).keys() - known):
        raise UserError(
            f"{prefix}{unknown[0]}: expected one of {[f'{prefix}{name}' for name in sorted(known)]}, found a setting"
            " that does not exist here: remove it, or choose another kind, such as data=mixture."
        )


def text_keys() -> dict[str, bool]:
    """Return the dotted names of all settings that are text, of all commands, and whether each may be null."""
    keys = {"tuned": False, "experiment": False}
    for settings in (BenchSettings, SweepSettings, *GROUPLESS.values()):
        keys |= _text_fields(settings, "")
    for prefix, kind in _group_members():
        keys |= _text_fields(kind, prefix)
    return keys


def mapping_keys() -> dict[str, bool]:
    """Return the dotted names of all mappings in the settings of data and model, and whether their values are text."""
    return {
        prefix + name: get_args(hint)[1] is str
        for prefix, kind in _group_members()
        for name, hint in get_type_hints(kind).items()
        if get_origin(hint) is dict
    }


def _group_members() -> Iterator[tuple[str, type]]:
    """Yield each kind of data and model, with what its settings start with."""
    yield from (("data.", kind) for kind in DataConfig.__args__)
    yield from (("model.", kind) for kind in ModelConfig.__args__)


def _text_fields(kind: type, prefix: str) -> dict[str, bool]:
    keys: dict[str, bool] = {}
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint):
            keys |= _text_fields(cast(type, hint), f"{prefix}{name}.")
        elif hint in (str, str | None):
            keys[prefix + name] = hint is not str
    return keys


def flatten(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each dotted name with its value, depth first; a mapping of labels, which may be any text, is one value."""
    for key, value in settings.items():
        if key == "labels" and value:
            yield f"{prefix}{key}", value
        elif isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def settings_without(settings: dict[str, Any], excluded: Iterable[str]) -> dict[str, str]:
    """Return nested settings by dotted name, without those whose own name or a parent's name is `excluded`.

    Settings of a set of a mixture count as those of `data`.
    """
    parents = tuple(f"{name}." for name in excluded)
    return {
        name: str(value)
        for name, value in flatten(settings)
        if not any(f"{each}.".startswith(parents) for each in (name, re.sub(r"^data\.sets\.\w+\.", "data.", name)))
    }


def training_settings(config: Config) -> dict[str, str]:
    """Return the settings that affect the trained model, by dotted name."""
    return settings_without(asdict(config), LOCATIONS)


def defaults_of(kind: type, prefix: str = "") -> dict[str, Any]:
    """Return the defaults of a dataclass of settings by dotted name, with `prefix` before each name."""
    return dict(flatten(cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(kind))), prefix))


@cache
def default_settings() -> dict[str, str]:
    """Return the defaults of all settings by dotted name; of a part with several kinds, those on which all agree."""
    parts: list[tuple[type, str]] = [(SweepSettings, "")]
    parts += [(kind, "data.") for kind in DataConfig.__args__] + [(kind, "model.") for kind in ModelConfig.__args__]
    found: dict[str, set[str]] = {}
    for kind, prefix in parts:
        for name, value in defaults_of(kind, prefix).items():
            found.setdefault(name, set()).add(str(value))
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


def config_hash(config: Config) -> str:
    """Return a hash of the settings that affect the trained model, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(training_settings(config), sort_keys=True).encode()).hexdigest()[:12]


def describe_differences(former: dict[str, str], current: dict[str, str]) -> str:
    """Return the differences between two sets of values as `name was X, is Y; …`, empty if there are none."""
    names = sorted(name for name in former.keys() | current.keys() if former.get(name) != current.get(name))
    shown = [f"{name} was {former.get(name, 'not set')}, is {current.get(name, 'not set')}" for name in names[:SHOWN]]
    return "; ".join([*shown, *([f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else [])])
