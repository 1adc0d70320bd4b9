"""Training runs of a sweep within one process, which share pairs and base encoder."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
from sentence_transformers import SentenceTransformer

from src.config import Config, SweepSettings
from src.config.words import describe
from src.data import ExampleSet, split_folds, split_off
from src.data.examples import to_table
from src.data.relations import first_shared
from src.encoder import copy_encoder, load_encoder
from src.evaluation.metrics import leading_metric
from src.evaluation.result import Result
from src.pipeline.base import BaseEvaluations
from src.pipeline.losses import resolve_losses
from src.pipeline.state import fingerprint_of, load_completed
from src.pipeline.training import run_training
from src.sweeping.space import Params, training_config, with_params
from src.sweeping.study import SweepStudy, remove_checkpoints
from src.training import TrainingCallback
from src.training.fine_tune import total_steps
from src.utils.console import quiet_console
from src.utils.errors import TrainingDiverged
from src.utils.files import remove


def split_validation(config: SweepSettings, pairs: ExampleSet) -> list[ExampleSet]:
    """Return the examples of each training of a trial: a held-out part of train as dev, the rest as train, no test.

    There is one of them, or one for each of `sweep.folds`. The other sets of a mixture stay as they are; their texts in
    the held-out parts are counted in a warning.

    Raises `UserError` if train cannot be split.
    """
    sweep = config.sweep
    if sweep.folds:
        splits = split_folds(pairs.train, sweep.folds, sweep.seed, "sweep.folds")
    else:
        splits = [split_off(pairs.train, sweep.validation, sweep.seed, "sweep.validation")]
    held_out = pa.concat_tables([to_table(part) for _, part in splits])
    shared = {each.name: first_shared(to_table(each.train), held_out) for each in pairs.others}
    where = "the validation part" if len(splits) == 1 else "the folds"
    warnings = tuple(
        f"{count:,} text(s) occur in both train of the set {name!r} and {where}, such as {first!r}."
        for name, (count, first) in shared.items()
        if count
    )
    return [replace(pairs, train=rest, dev=part, test=None, warnings=warnings) for rest, part in splits]


def set_sizes(examples: ExampleSet) -> list[int]:
    """Return the number of training examples of each set."""
    return [len(each.train) for each in examples.sets.values()]


def trial_name(number: int, params: Params, seed: int | None = None, fold: int = 0) -> str:
    """Return the name of a trial's run, or of its confirmation: `trial 007, seed 43, fold 2: lr 8e-05, …`."""
    with_seed = "" if seed is None else f", {describe({'trainer.seed': seed})}"
    return f"trial {number:03d}{with_seed}{f', fold {fold}' if fold else ''}: {describe(params)}"


def trial_config(
    study: SweepStudy,
    params: Params,
    sizes: Sequence[int],
    folder: Path,
    name: str,
    seed: int | None = None,
) -> Config:
    """Return the settings of a training run with these params, evaluated at equal intervals.

    It keeps the weights after the last step, as the winner's training does, which has nothing to select others with.
    `sizes`: numbers of training examples of each set.
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
    # published metrics belong to another dev set, and the remark about the selection to other params
    return replace(config, folder=str(folder), trainer=trainer, tracking=tracking, published={}, selection="")


@dataclass(frozen=True)
class Outcome:
    """Outcome of the trainings with the same params and seed, one for each part of the validation."""

    value: float
    """Leading metric of `predictions`."""
    predictions: pd.DataFrame
    """Predictions on all parts, each by the training that held it out; rows as in `Evaluation`."""
    run_id: str
    """MLflow run of the first training."""


class Trainings:
    """Training runs in one process: pairs, base encoder and tokenised pairs are loaded once for all of them.

    The base encoder is evaluated once for each part, unless settings that its evaluation depends on change.
    """

    def __init__(self, study: SweepStudy, parts: list[ExampleSet]) -> None:
        self.study = study
        self.parts = parts
        """The examples of each training of a trial, whose dev is held out from train."""
        self.metric = leading_metric(parts[0].shape.name)
        """The leading metric, which trials maximise."""
        self.encoders: dict[str, SentenceTransformer] = {}
        self.base = BaseEvaluations()

    def encoder(self, config: Config) -> SentenceTransformer:
        """Return a copy of the base encoder to be trained; all copies share one tokenizer."""
        key = repr(config.model)
        if key not in self.encoders:
            self.encoders = {key: load_encoder(config.model)}
        return copy_encoder(self.encoders[key])

    def run(
        self,
        params: Params,
        folder: Path,
        tags: dict[str, str],
        callbacks: Callable[[int], Sequence[TrainingCallback]] = lambda part: (),
        seed: int | None = None,
        keep_model: bool = False,
    ) -> Outcome:
        """Return the outcome of training with these params on each part, without output on the terminal.

        `callbacks`: a function of the number of the part, from 0; `seed` replaces the configured one; `keep_model`:
        keep the model of a single part; those of folds are not used.
        """
        results, tables, several = [], [], len(self.parts) > 1
        for fold, pairs in enumerate(self.parts, start=1):
            own = folder / f"fold{fold}" if several else folder
            name = trial_name(int(tags["trial.number"]), params, seed, fold if several else 0)
            config = trial_config(self.study, params, set_sizes(pairs), own, name, seed)
            with quiet_console():
                labelled = tags | {"fold": str(fold)} if several else tags
                results.append(self.load_or_train(config, pairs, labelled, callbacks(fold - 1)))
            if several or not keep_model:
                remove(own / "model")
            tables.append(pd.read_parquet(own / "predictions.parquet"))
        predictions = pd.concat(tables, ignore_index=True)
        return Outcome(self.metric.compute(predictions), predictions, results[0].run_id)

    def load_or_train(
        self, config: Config, pairs: ExampleSet, tags: dict[str, str], callbacks: Sequence[TrainingCallback] = ()
    ) -> Result:
        """Return the result in `config.folder` if it has these settings and pairs, else that of a new training run."""
        config = resolve_losses(config, pairs)  # a trial may have searched for the loss
        fingerprint = fingerprint_of(config, pairs)
        if completed := load_completed(Path(config.folder), fingerprint):
            return completed
        return run_training(config, pairs, self.encoder(config), callbacks, tags, self.base.evaluator(fingerprint))


@contextmanager
def excluded_if_diverged(study: SweepStudy, number: int, folder: Path) -> Iterator[None]:
    """If training diverges in the block, exclude the trial, remove its checkpoints in `folder`, and raise again."""
    try:
        yield
    except TrainingDiverged as reason:
        study.exclude(number, reason.problem)
        remove_checkpoints(folder)
        raise
