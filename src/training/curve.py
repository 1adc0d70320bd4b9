"""The curve of a training: a row for each evaluation, told to whoever listens."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from src.metrics.names import DEV, LEARNING_RATE, PEARSON, SPEARMAN, TRAINING_LOSS
from src.training.divergence import check_evaluation, mean_loss

STEPS_BETWEEN_VALUES = 10


@dataclass(frozen=True)
class CurveRow:
    """One evaluation during training."""

    epoch: float
    step: int
    training_loss: float
    """Mean over the steps since the last row or checkpoint."""
    validation_loss: float
    spearman_cosine: float
    pearson_cosine: float


class Listener(Protocol):
    """Hears how a training goes."""

    def on_start(self, steps: int, step: int) -> None:
        """Training starts at `step` of `steps`."""

    def on_values(self, step: int, values: dict[str, float]) -> None:
        """Training loss and learning rate after a step."""

    def on_row(self, row: CurveRow) -> None:
        """An evaluation is done."""


def curve_rows(history: list[dict[str, float]]) -> list[CurveRow]:
    """Return the rows that the trainer's log history holds; it is part of every checkpoint."""
    rows, training_loss = [], float("nan")
    for entry in history:
        training_loss = entry.get("loss", training_loss)
        if "eval_loss" in entry:
            row = CurveRow(
                epoch=round(entry["epoch"], 4),
                step=int(entry["step"]),
                training_loss=training_loss,
                validation_loss=entry["eval_loss"],
                spearman_cosine=entry[f"eval_{DEV}_{SPEARMAN}"],
                pearson_cosine=entry[f"eval_{DEV}_{PEARSON}"],
            )
            rows.append(row)
    return rows


class CurveCallback(TrainerCallback):
    """Tells the listeners of the trainer's events."""

    def __init__(self, losses: deque[Tensor], listeners: list[Listener]) -> None:
        self.losses = losses
        """The losses of the last steps; the trainer fills it."""
        self.listeners = listeners
        self.started = 0.0
        """Time of the first step in seconds since the epoch."""
        self.first_step = 0
        """Steps that were made before an interruption."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Tell how many steps there are, and the rows of the curve so far."""
        self.started, self.first_step = time.time(), state.global_step
        for listener in self.listeners:
            listener.on_start(state.max_steps, state.global_step)
            for row in curve_rows(state.log_history):
                listener.on_row(row)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, lr_scheduler: Any, **_: Any
    ) -> None:
        """Tell loss and learning rate now and then; see to an evaluation after the last step.

        Raises:
            Diverged: a loss is not a finite number.

        """
        if state.global_step == state.max_steps:
            control.should_log = control.should_evaluate = True
            control.should_save = args.save_strategy != "no"
        control.should_log |= control.should_save  # a mean over a checkpoint would be another one after an interruption
        if state.global_step % STEPS_BETWEEN_VALUES == 0 or control.should_log:
            recent = torch.stack(list(self.losses))
            self.losses.clear()
            loss = mean_loss(recent, state.global_step, args)
            values = {TRAINING_LOSS: loss, LEARNING_RATE: lr_scheduler.get_last_lr()[0]}
            for listener in self.listeners:
                listener.on_values(state.global_step, values)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any, **_: Any
    ) -> None:
        """Tell the new row of the curve; the checkpoint of this step is written after it.

        Raises:
            Diverged: the row or a weight holds no finite number.

        """
        row = curve_rows(state.log_history)[-1]
        check_evaluation(row.validation_loss, row.spearman_cosine, model.state_dict().values(), row.step, args)
        for listener in self.listeners:
            listener.on_row(row)
