"""The configuration: a dataclass for each part of conf/, with a line on most fields."""

from src.config.files import register_tuned
from src.config.schema import BenchSettings, Config, SweepSettings, register_schemas, to_config

__all__ = ["BenchSettings", "Config", "SweepSettings", "register_schemas", "register_tuned", "to_config"]
