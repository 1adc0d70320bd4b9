"""The trainings of a sweep in one process, which share what they are made from."""

import copy
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from src.config import Config
from src.config.training import TrainerConfig
from src.data import PairData
from src.encoder import load_encoder
from src.errors import Diverged
from src.files import remove
from src.finished import finished
from src.report.console import console
from src.report.result import Metrics
from src.sweeping.listener import warmup_steps
from src.sweeping.study import SweepStudy
from src.sweeping.values import Value, with_values

Train = Callable[..., Metrics]
"""`src.train.train`; only the entry imports another entry."""


def plain(config: Config) -> Config:
    """Return the settings of a training out of those of a sweep."""
    return Config(**{name: copy.deepcopy(getattr(config, name)) for name in Config.__dataclass_fields__})


def steps_of(trainer: TrainerConfig, pairs: int) -> int:
    """Return the steps of a training on so many pairs."""
    if trainer.max_steps > 0:
        return trainer.max_steps
    return math.ceil(trainer.epochs * math.ceil(pairs / trainer.batch_size))


def trial_config(
    study: SweepStudy, values: dict[str, Any], pairs: int, folder: Path, seed: int | None = None, keep: str = "best"
) -> Config:
    """Return the settings of a training on `pairs` pairs with these values, evaluated evenly."""
    config = with_values(plain(study.config), values)
    trainer = config.trainer
    changed = replace(
        trainer,
        eval_steps=math.ceil(steps_of(trainer, pairs) / study.config.sweep.evaluations),
        keep=keep,
        checkpoints=True,
        save_steps=0,
        resume="if_same",  # not so with another number of threads: the trial starts anew
        precision=study.noted("precision") or trainer.precision,
        seed=trainer.seed if seed is None else seed,
    )
    tracking = replace(config.tracking, models=False, system_metrics=False)
    return replace(config, folder=str(folder), trainer=changed, tracking=tracking)


class Trainings:
    """Trainings of one process: data, base encoder and tokenised pairs are loaded once for all of them."""

    def __init__(self, study: SweepStudy, pairs: PairData, train: Train) -> None:
        self.study = study
        self.pairs = pairs
        """Their dev part is the validation part of train; sts-dev is not among them."""
        self.train = train
        self.encoders: dict[str, SentenceTransformer] = {}

    def encoder(self, config: Config) -> SentenceTransformer:
        """Return a copy of the base encoder for a training to change; the tokenizer is shared."""
        key = repr(config.model)
        if key not in self.encoders:
            self.encoders = {key: load_encoder(config.model)}
        base = self.encoders[key]
        return copy.deepcopy(base, {id(base.tokenizer): base.tokenizer})

    def run(self, values: dict[str, Value], folder: Path, tags: dict[str, str], **given: Any) -> dict[str, Any]:
        """Train with these values in `folder`, or take what a training there has left; return its metrics.

        `given`: `seed` in place of the configured one, `keep` = last for the weights after the last step in place of
        the best, and `listen`, which makes a listener from the settings.
        """
        changes = {name: given[name] for name in ("seed", "keep") if name in given}
        config = trial_config(self.study, values, len(self.pairs.train), folder, **changes)
        if metrics := finished(config):
            return metrics
        result = folder / "metrics.json"
        result.unlink(missing_ok=True)
        listeners = [given["listen"](config)] if "listen" in given else []
        with quiet():
            done = self.train(config, self.pairs, self.encoder(config), listeners, tags)
        assert done.warmup_steps == warmup_steps(config, done.steps), f"{done.warmup_steps} steps of warm-up"
        return json.loads(result.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@contextmanager
def given_up_if_diverged(study: SweepStudy, number: int, folder: Path) -> Iterator[None]:
    """If the training of the block diverges, leave the trial out and remove the checkpoints that nobody will use."""
    try:
        yield
    except Diverged as reason:
        study.leave_out(number, reason.what)
        remove(folder / "checkpoints")
        raise


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the console free of what a training prints: a trial is one line."""
    former, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = former
