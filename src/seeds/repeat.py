"""One run with a child for each seed, each in a folder of its own."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from src.config import Config
from src.data import PairData
from src.encoder import base_of, load_encoder
from src.errors import UserError
from src.files import replacing
from src.finished import finished
from src.provenance import differences, provenance
from src.report.console import console
from src.report.result import ARTIFACTS, Metrics
from src.seeds.result import SEEDS, log_seeds, print_seeds, write_seeds
from src.tracking import PARENT, Run, known_run, start_run

Train = Callable[..., Metrics]
"""`src.train.train`; only entries import entries."""
UNFINISHED = "unfinished.json"
"""File that is there from the first seed's start to the last one's end."""


def train_seeds(config: Config, pairs: PairData, identity: dict[str, str], train: Train) -> Metrics:
    """Train with each of `trainer.seeds` in seeds/SEED and return the metrics of the first, with those of all beside.

    The result of the first seed becomes that of `config.folder`: the best one's score would be too good by chance.
    After an interruption a seed that is finished is not trained again. `identity`: what it all depends on, by name.
    """
    note = Path(config.folder) / SEEDS / UNFINISHED
    former = known_run(config, unfinished_run(note, identity, config.trainer.resume))
    with start_run(config, provenance(config) | {"role": "seeds"}, former) as parent:
        with replacing(note) as draft:
            draft.write_text(json.dumps({"identity": identity, "run_id": parent.run_id}), encoding="utf-8")
        parent.log_sources(pairs, base_of(config.model))
        for number, seed in enumerate(config.trainer.seeds, start=1):
            console.print(f"\nSeed {seed}, {number} of {len(config.trainer.seeds)}", style="bold")
            train_seed(seed_config(config, seed), pairs, train, parent)
        metrics = write_seeds(config, parent.run_id)
        log_seeds(parent, config, metrics)
        note.unlink()
    print_seeds(config, metrics)
    return metrics


def unfinished_run(note: Path, identity: dict[str, str], resume: str) -> str | None:
    """Return the run that the seeds beside `note` are unfinished of; without one their former results are removed.

    Raises:
        UserError: the unfinished training is another one.

    """
    former = json.loads(note.read_text(encoding="utf-8")) if note.exists() and resume != "never" else None
    changed = former and differences(former["identity"], identity)
    if not former or (changed and resume == "if_same"):
        for result in note.parent.glob("*/"):
            remove_result(result)
        return None
    if changed:
        raise UserError(
            f"{note.parent} holds unfinished seeds of other settings ({changed}): set trainer.resume=never to start"
            " anew, or restore them to go on."
        )
    return str(former["run_id"])


def remove_result(folder: Path) -> None:
    """Remove a result, and nothing else that a run keeps there."""
    for name in ("checkpoints", "model", "plots"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ARTIFACTS:
        (folder / name).unlink(missing_ok=True)


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
    if finished(config):
        console.print("trained already")
        return
    tags = {"role": "seed", "mlflow.runName": f"seed {config.trainer.seed}", PARENT: parent.run_id}
    train(config, pairs, load_encoder(config.model), (), tags)
