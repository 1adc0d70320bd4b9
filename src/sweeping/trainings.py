"""Training runs of a sweep within one process, which share pairs and base encoder."""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sentence_transformers import SentenceTransformer

from src.config import Config, SweepSettings
from src.config.words import describe
from src.data import ExampleSet, split_off
from src.data.examples import to_table
from src.data.relations import first_shared
from src.encoder import load_encoder
from src.evaluation.metrics import leading_metric
from src.evaluation.result import Result
from src.pipeline.losses import resolve_losses
from src.pipeline.state import fingerprint_of, load_completed
from src.pipeline.training import run_training
from src.sweeping.space import Params, training_config, with_params
from src.sweeping.study import SweepStudy
from src.training import TrainingCallback
from src.training.checkpoints import CHECKPOINTS
from src.training.fine_tune import total_steps
from src.utils.console import quiet_console
from src.utils.errors import TrainingDiverged
from src.utils.files import remove


def split_validation(config: SweepSettings, pairs: ExampleSet) -> ExampleSet:
    """Return the examples for the trials: a held-out part of train as dev, the rest as train, and no test.

    The other sets of a mixture stay as they are; their texts in the held-out part are counted in a warning.

    Raises `UserError` if train cannot be split.
    """
    sweep = config.sweep
    rest, validation = split_off(pairs.train, sweep.validation, sweep.seed, "sweep.validation")
    shared = {each.name: first_shared(to_table(each.train), to_table(validation)) for each in pairs.others}
    warnings = tuple(
        f"{count:,} text(s) occur in both train of the set {name!r} and the validation part, such as {first!r}."
        for name, (count, first) in shared.items()
        if count
    )
    return replace(pairs, train=rest, dev=validation, test=None, warnings=warnings)


def set_sizes(examples: ExampleSet) -> list[int]:
    """Return the number of training examples of each set."""
    return [len(each.train) for each in examples.sets.values()]


def trial_name(number: int, params: Params, seed: int | None = None) -> str:
    """Return the name of a trial's run, or of its confirmation with a seed: `trial 007, seed 43: lr 8e-05, …`."""
    with_seed = "" if seed is None else f", {describe({'trainer.seed': seed})}"
    return f"trial {number:03d}{with_seed}: {describe(params)}"


def trial_config(
    study: SweepStudy,
    params: Params,
    sizes: Sequence[int],
    folder: Path,
    name: str,
    seed: int | None = None,
) -> Config:
    """Return the settings of a training run with these params, evaluated at equal intervals.

    It keeps the weights after the last step, as the winner's training does, which has no validation part to select with:
    with the best evaluation on the way, a learning rate too small to harm would win. `sizes`: numbers of training
    examples of each set.
    """
    config = with_params(training_config(study.config), params)
    trainer = replace(
        config.trainer,
        eval_steps=math.ceil(total_steps(config.trainer, *sizes) / study.config.sweep.evaluations),
        eval_every_epochs=None,
        keep="last",
        checkpoints=True,
        save_steps=None,
        save_every_epochs=None,
        resume="if_same",  # starts anew if `trainer.threads` has changed
        seed=config.trainer.seed if seed is None else seed,
    )
    tracking = replace(config.tracking, models=False, champion="off", system_metrics=False, run_name=name)
    # published metrics belong to another dev set
    return replace(config, folder=str(folder), trainer=trainer, tracking=tracking, published={})


class Trainings:
    """Training runs in one process: pairs, base encoder and tokenised pairs are loaded once for all of them."""

    def __init__(self, study: SweepStudy, pairs: ExampleSet) -> None:
        self.study = study
        self.pairs = pairs
        """The pairs of the trials, whose dev part is the validation part of train."""
        self.metric = leading_metric(pairs.shape.name)
        """The leading metric, which trials maximise."""
        self.encoders: dict[str, SentenceTransformer] = {}

    def encoder(self, config: Config) -> SentenceTransformer:
        """Return a copy of the base encoder to be trained; all copies share one tokenizer."""
        key = repr(config.model)
        if key not in self.encoders:
            self.encoders = {key: load_encoder(config.model)}
        base = self.encoders[key]
        return copy.deepcopy(base, {id(base.tokenizer): base.tokenizer})

    def run(
        self,
        params: Params,
        folder: Path,
        tags: dict[str, str],
        callbacks: Sequence[TrainingCallback] = (),
        seed: int | None = None,
    ) -> Result:
        """Return the result of training with these params in `folder`, without output on the terminal.

        `seed` replaces the configured one.
        """
        name = trial_name(int(tags["trial.number"]), params, seed)
        config = trial_config(self.study, params, set_sizes(self.pairs), folder, name, seed)
        with quiet_console():
            return self.load_or_train(config, self.pairs, tags, callbacks)

    def load_or_train(
        self, config: Config, pairs: ExampleSet, tags: dict[str, str], callbacks: Sequence[TrainingCallback] = ()
    ) -> Result:
        """Return the result in `config.folder` if it has these settings and pairs, else that of a new training run."""
        config = resolve_losses(config, pairs)  # a trial may have searched for the loss
        completed = load_completed(Path(config.folder), fingerprint_of(config, pairs))
        return completed or run_training(config, pairs, self.encoder(config), callbacks, tags)


@contextmanager
def excluded_if_diverged(study: SweepStudy, number: int, folder: Path) -> Iterator[None]:
    """If training diverges in the block, exclude the trial, remove its checkpoints in `folder`, and raise again."""
    try:
        yield
    except TrainingDiverged as reason:
        study.exclude(number, reason.problem)
        remove(folder / CHECKPOINTS)
        raise
