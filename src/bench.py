"""Compare the speed of trainers: python -m src.bench +experiment=review_sts."""

import logging
import tempfile
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from src.benchmark.ablation import measure_ablation
from src.benchmark.growth import measure_growth
from src.benchmark.speed import measure_speed
from src.cli import hydra_command
from src.config import BenchSettings
from src.data import load_examples
from src.utils.environment import device_name
from src.utils.files import path_of, write_text
from src.utils.text import to_json

log = logging.getLogger("src.bench")


def run(config: BenchSettings, overrides: list[str] | None = None) -> dict[str, Any]:
    """Train with each trainer, without each speed-up or on increasing numbers of pairs; store and return the table.

    `overrides`: Hydra overrides for src.train, by default those of the command line without `bench.` keys.
    """
    if overrides is None:
        overrides = [one for one in HydraConfig.get().overrides.task if not one.startswith("bench.")]
    name = "growth" if config.bench.growth else "ablation" if config.bench.ablation else "speed"
    measure = {"growth": measure_growth, "ablation": measure_ablation, "speed": measure_speed}[name]
    pairs = load_examples(config.data)
    with tempfile.TemporaryDirectory() as scratch:
        table, markdown = measure(config, overrides, pairs, Path(scratch))
    from src.training.precision import use_threads  # imports torch, which takes seconds: after the input checks

    table = {"machine": {"device": device_name(), "threads": use_threads(config.trainer.threads)}, **table}
    path = path_of(config.bench.folder) / name
    write_text(path.with_suffix(".json"), to_json(table, indent=2) + "\n")
    write_text(path.with_suffix(".md"), markdown)
    log.info(markdown)
    log.info(f"Stored in {path}.json and .md")
    return table


if __name__ == "__main__":
    hydra_command(run, "bench")()
