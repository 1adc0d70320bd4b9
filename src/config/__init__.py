"""The configuration: dataclasses behind the YAML files of conf/, and the way from one to the other."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from src.config.bench import BenchConfig
from src.config.checks import require
from src.config.data import KlueSts, PairFiles, ProjectMatch
from src.config.model import EmbeddedEncoder, HubEncoder
from src.config.sweep import SweepConfig
from src.config.tracking import TrackingConfig
from src.config.training import LossConfig, TrainerConfig

DataConfig = KlueSts | PairFiles | ProjectMatch
ModelConfig = EmbeddedEncoder | HubEncoder

NAME = re.compile(r"\w[\w .-]*")
"""Names that serve as a folder, as an experiment and as a registered model alike."""


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
    """Metrics of a published model card on the same dev pairs, to be shown beside ours."""

    def __post_init__(self) -> None:
        plain = bool(NAME.fullmatch(self.name))
        require(plain, "name", "letters, digits, spaces and any of _ . - after the first", self.name)


@dataclass
class BenchSettings(Config):
    """All settings of a benchmark."""

    bench: BenchConfig = field(default_factory=BenchConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not self.trainer.seeds, "trainer.seeds", "empty for a benchmark (bench.rounds)", self.trainer.seeds)


@dataclass
class SweepSettings(Config):
    """All settings of a sweep."""

    sweep: SweepConfig = field(default_factory=SweepConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not self.trainer.seeds, "trainer.seeds", "empty for a sweep (sweep.confirm.seeds)", self.trainer.seeds)


def register_schemas() -> None:
    """Make the dataclasses known to Hydra: misspelt keys and wrong types then stop at composition."""
    store = ConfigStore.instance()
    for group, name, node in (
        ("schema", "train", Config),
        ("schema", "bench", BenchSettings),
        ("schema", "sweep", SweepSettings),
        ("data/schema", "klue_sts", KlueSts),
        ("data/schema", "pair_files", PairFiles),
        ("data/schema", "project_match", ProjectMatch),
        ("model/schema", "embedded", EmbeddedEncoder),
        ("model/schema", "hub", HubEncoder),
    ):
        store.store(group=group, name=name, node=node)


def register_tuned(experiments: Path) -> None:
    """Make the result of each sweep below a folder known to Hydra: experiments/NAME/sweep/best.yaml as +tuned=NAME."""
    for best in sorted(experiments.glob("*/sweep/best.yaml")):
        name = best.parent.parent.name
        ConfigStore.instance().store(group="tuned", name=name, node=OmegaConf.load(best), package="_global_")


def to_config(composed: DictConfig) -> Config:
    """Return the composed configuration as plain, checked dataclasses.

    Raises:
        UserError: a value is impossible.
        omegaconf.errors.OmegaConfBaseException: a mandatory value is missing or an interpolation fails.

    """
    return cast(Config, OmegaConf.to_object(composed))
