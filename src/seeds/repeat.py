"""One run with a child for each seed, each in a folder of its own."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from src.config import Config
from src.data import PairData
from src.encoder import base_of, load_encoder
from src.provenance import identity, provenance
from src.report.console import console
from src.report.result import ARTIFACTS, Metrics
from src.seeds.result import SEEDS, log_seeds, print_seeds, write_seeds
from src.tracking import PARENT, Run, known_run, start_run
from src.training.checkpoints import IDENTITY, former_run, note_run

Train = Callable[..., Metrics]
"""`src.train.train`; only entries import entries."""


def train_seeds(config: Config, pairs: PairData, train: Train) -> Metrics:
    """Train with each of `trainer.seeds` in seeds/SEED and return the metrics of the first, with those of all beside.

    The result of the first seed becomes that of `config.folder`: the best one's score would be too good by chance.
    After an interruption a seed that is finished is not trained again.
    """
    folder = Path(config.folder)
    known = identity(config, pairs)
    former = known_run(config, unfinished_run(folder / SEEDS, known, config.trainer.resume))
    with start_run(config, provenance(config) | {"role": "seeds"}, former) as parent:
        note_run(folder / SEEDS, known, parent.run_id)
        parent.log_sources(pairs, base_of(config.model))
        for number, seed in enumerate(config.trainer.seeds, start=1):
            console.print(f"\nSeed {seed}, {number} of {len(config.trainer.seeds)}", style="bold")
            train_seed(seed_config(config, seed), pairs, train, parent)
        metrics = write_seeds(config, parent.run_id)
        log_seeds(parent, config, metrics)
        (folder / SEEDS / IDENTITY).unlink()
    print_seeds(config, metrics)
    return metrics


def unfinished_run(folder: Path, known: dict[str, str], resume: str) -> str | None:
    """Return the run that seeds in `folder` are unfinished of; without one the former results there are removed.

    Raises:
        UserError: the unfinished training is another one.

    """
    if resume != "never" and (folder / IDENTITY).exists():
        return former_run(folder, known)
    for result in folder.glob("*"):
        for name in ("checkpoints", "model", "plots"):
            shutil.rmtree(result / name, ignore_errors=True)
        for name in ARTIFACTS:
            (result / name).unlink(missing_ok=True)
    return None


def seed_config(config: Config, seed: int) -> Config:
    """Return the settings of the training with one seed; only the model of the first is registered."""
    first = config.trainer.seeds[0]
    return replace(
        config,
        folder=str(Path(config.folder) / SEEDS / str(seed)),
        trainer=replace(config.trainer, seed=seed, seeds=[], resume="auto"),
        tracking=replace(config.tracking, register=config.tracking.register and seed == first),
    )


def train_seed(config: Config, pairs: PairData, train: Train, parent: Run) -> None:
    """Train with one seed as a child of `parent`, unless that is done already."""
    result = Path(config.folder) / "metrics.json"
    if result.exists() and not (result.parent / "checkpoints").exists():
        done: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        closing = replace(config, tracking=replace(config.tracking, system_metrics=False))
        with start_run(closing, {}, done["run_id"]):  # it may have been killed on its very last step
            console.print("trained already")
        return
    tags = {"role": "seed", "mlflow.runName": f"seed {config.trainer.seed}", PARENT: parent.run_id}
    train(config, pairs, load_encoder(config.model), (), tags)
