"""Callbacks of a training run, the curve of its evaluations, and the stop on NaN or Inf."""

import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from src.evaluation.evaluate import Evaluation
from src.evaluation.metrics import LEARNING_RATE, TRAINING_LOSS, evaluator_name, leading_metric
from src.utils.errors import TrainingDiverged

log = logging.getLogger(__name__)

LOG_EVERY = 10
"""Number of steps between logged values of training loss and learning rate."""


@dataclass(frozen=True)
class CurveRow:
    """One evaluation before or during training."""

    epoch: float
    step: int
    training_loss: float
    """Mean over the steps since the last row or checkpoint; NaN before the first step."""
    validation_loss: float
    metrics: dict[str, float]
    """Metrics on dev by name, the leading one first; those of the other sets of a mixture are named SET/NAME."""

    @classmethod
    def at_start(cls, evaluation: Evaluation) -> Self:
        """Return the row of the base encoder, at step 0."""
        return cls(0.0, 0, math.nan, evaluation.loss, evaluation.metrics)

    def to_dict(self) -> dict[str, float]:
        """Return the values by column of curve.csv."""
        values = {name: value for name, value in vars(self).items() if name != "metrics"}
        return values | self.metrics


class TrainingCallback(Protocol):
    """Interface of a callback for the events of a training run."""

    def on_train_begin(self, steps: int, step: int) -> None:
        """Handle the start of training, at `step` of `steps`."""

    def on_step(self, step: int, values: dict[str, float]) -> None:
        """Handle training loss and learning rate, every `LOG_EVERY` steps and before an evaluation or a checkpoint."""

    def on_evaluate(self, row: CurveRow) -> None:
        """Handle a row of the curve: that of step 0, a new evaluation, or at a resume an earlier one."""


def dev_metric(shape: str, name: str) -> str:
    """Return the name of a metric on dev in the trainer's log; for scored pairs that of the published cards."""
    return f"{evaluator_name(shape, 'dev')}_{name}"


def curve_rows(history: list[dict[str, float]], before: Evaluation) -> list[CurveRow]:
    """Return the curve after step 0 in the trainer's log history, which is part of every checkpoint.

    `before`: the evaluation at step 0, which has the metrics of all rows in their order.
    """
    rows, training_loss = [], math.nan
    for entry in history:
        training_loss = entry.get("loss", training_loss)
        if "eval_loss" in entry:
            metrics = {name: entry[f"eval_{dev_metric(before.shape, name)}"] for name in before.metrics}
            row = CurveRow(round(entry["epoch"], 4), int(entry["step"]), training_loss, entry["eval_loss"], metrics)
            rows.append(row)
    return rows


class EventCallback(TrainerCallback):
    """Pass the trainer's events to our callbacks, and stop the training on NaN or Inf.

    Values are checked before they are recorded and before a checkpoint is written.
    """

    def __init__(self, losses: deque[Tensor], callbacks: Sequence[TrainingCallback], before: Evaluation) -> None:
        self.losses = losses
        """Losses of the forward passes of the last step, appended by the trainer and emptied here."""
        self.step_losses: list[Tensor] = []
        """Mean loss of each step since they were last passed on."""
        self.callbacks = callbacks
        self.before = before
        """Evaluation at step 0, which no checkpoint has."""
        self.started = 0.0
        """Unix time of the first step in seconds."""
        self.evaluated = self.saved = 0
        """Steps of the last evaluation and of the last checkpoint."""
        self.nonzero = self.warned = False
        """Whether a training loss was not 0 so far, and whether a warning said that all were."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Pass on the number of steps, the first row of the curve and, at a resume, the earlier ones."""
        self.started = time.time()
        rows = [CurveRow.at_start(self.before), *curve_rows(state.log_history, self.before)]
        self.evaluated, self.saved = rows[-1].step, state.global_step
        self.nonzero = any(entry.get("loss") for entry in state.log_history)
        for callback in self.callbacks:
            callback.on_train_begin(state.max_steps, state.global_step)
            for row in rows:
                callback.on_evaluate(row)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, lr_scheduler: Any, **_: Any
    ) -> None:
        """Pass on loss and learning rate every `LOG_EVERY` steps; request an evaluation after the last step.

        Raises `TrainingDiverged` if a loss is not finite.
        """
        self.step_losses.append(torch.stack(list(self.losses)).mean())
        self.losses.clear()
        if state.global_step == state.max_steps:
            self._request_last(args, state, control)
        control.should_log |= control.should_save  # a mean across a checkpoint would differ after a resume
        if state.global_step % LOG_EVERY == 0 or control.should_log:
            self._pass_on(args, state, lr_scheduler)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, lr_scheduler: Any, **_: Any
    ) -> None:
        """Request what the last step lacks, if the training ends with this epoch but before its planned last step."""
        if control.should_training_stop or state.epoch > state.num_train_epochs - 1:
            self._request_last(args, state, control)
            if self.step_losses:
                self._pass_on(args, state, lr_scheduler)

    def _request_last(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        control.should_log |= state.global_step > self.evaluated
        control.should_evaluate |= state.global_step > self.evaluated
        control.should_save |= state.global_step > self.saved and args.save_strategy != "no"

    def _pass_on(self, args: TrainingArguments, state: TrainerState, lr_scheduler: Any) -> None:
        loss = finite_mean(torch.stack(self.step_losses), state.global_step, args)
        self.step_losses.clear()
        self.nonzero |= loss != 0
        values = {TRAINING_LOSS: loss, LEARNING_RATE: max(lr_scheduler.get_last_lr())}
        for callback in self.callbacks:
            callback.on_step(state.global_step, values)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Remember the step of the last checkpoint."""
        self.saved = state.global_step

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any, **_: Any
    ) -> None:
        """Pass on the new row of the curve; a checkpoint of this step is written afterwards.

        Raises `TrainingDiverged` if the row or a weight is not finite.
        """
        row = curve_rows(state.log_history, self.before)[-1]
        self.evaluated = row.step
        check_row(row, leading_metric(self.before.shape).name, model.state_dict().values(), args)
        if not (self.nonzero or self.warned):
            self.warned = True
            log.warning(f"  note: the training loss was 0 in all steps up to {row.step}: nothing has been learnt")
        for callback in self.callbacks:
            callback.on_evaluate(row)


class EarlyStopping(EarlyStoppingCallback):
    """The library's early stopping, also of a training that is resumed from the checkpoint at which it has stopped.

    Every checkpoint has the number of evaluations since the best one.
    """

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Stop at once if the patience has ended before."""
        control.should_training_stop = self.early_stopping_patience_counter >= self.early_stopping_patience

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, *others: Any, **named: Any) -> None:
        """Stop if the leading metric has not improved in so many evaluations."""
        super().on_evaluate(args, state, *others, **named)
        if self.early_stopping_patience_counter >= self.early_stopping_patience and state.global_step < state.max_steps:
            log.info(f"  stopped early: no better evaluation among the last {self.early_stopping_patience}")


def finite_mean(losses: Tensor, step: int, args: TrainingArguments) -> float:
    """Return the mean of the losses of the last steps up to `step`; raise `TrainingDiverged` if one is not finite."""
    mean = losses.mean().item()
    if math.isfinite(mean):
        return mean
    first = int((~losses.isfinite()).nonzero()[0])
    at = step - len(losses) + 1 + first
    raise _diverged(at, "a training loss that is a finite number", f"{losses[first].item()}", args)


def check_row(row: CurveRow, leading: str, weights: Iterable[Tensor], args: TrainingArguments) -> None:
    """Raise `TrainingDiverged` if the row's validation loss or leading metric, or a weight, is not finite."""
    if not math.isfinite(row.validation_loss):
        raise _diverged(row.step, "a validation loss that is a finite number", f"{row.validation_loss}", args)
    check_weights(weights, row.step, args)
    if not math.isfinite(row.metrics[leading]):
        raise _diverged(row.step, "similarities that differ between the dev pairs", "the same for all of them", args)


def check_weights(weights: Iterable[Tensor], step: int, args: TrainingArguments) -> None:
    """Raise `TrainingDiverged` if a weight is not finite after `step`."""
    if not get_total_norm(weights, math.inf).isfinite():
        raise _diverged(step, "finite weights", "NaN or Inf among them", args)


def check_similarities(evaluation: Evaluation, model: str) -> None:
    """Raise `TrainingDiverged` if the similarities of a model are not finite, or are the same for all pairs."""
    if not math.isfinite(evaluation.leading):
        predicted = evaluation.predictions["predicted"]
        raise TrainingDiverged(
            f"{model}: expected similarities that differ between pairs, found {predicted.min():g} to"
            f" {predicted.max():g} for all {len(predicted):,}",
            "use another encoder (model=…)",
        )


def _diverged(step: int, expected: str, found: str, args: TrainingArguments) -> TrainingDiverged:
    cause, remedy = (", or bf16 too coarse", " or trainer.precision=fp32") if args.bf16 else ("", "")
    folder = Path(args.output_dir)
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    kept = f", with trainer.resume=never, which removes {last}, the last good checkpoint" if last else ""
    return TrainingDiverged(
        f"step {step}: expected {expected}, found {found}; the learning rate {args.learning_rate:g} is probably too"
        f" high{cause}",
        f"set a lower trainer.learning_rate{remedy}{kept}",
    )
