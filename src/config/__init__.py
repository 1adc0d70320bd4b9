"""Dataclasses of the configuration, one for each part of conf/, and their registration with Hydra."""

from src.config.commands import BenchConfig, PredictConfig, SweepConfig
from src.config.schema import (
    BenchSettings,
    Config,
    DataConfig,
    ModelConfig,
    SweepSettings,
    register_schemas,
    register_tuned,
    to_config,
)

__all__ = [
    "BenchConfig",
    "BenchSettings",
    "Config",
    "DataConfig",
    "ModelConfig",
    "PredictConfig",
    "SweepConfig",
    "SweepSettings",
    "register_schemas",
    "register_tuned",
    "to_config",
]
