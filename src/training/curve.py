"""The curve of a training: a row for each evaluation, told to whoever listens."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from src.metrics.names import DEV, LEARNING_RATE, PEARSON, SPEARMAN, TRAINING_LOSS

STEPS_BETWEEN_VALUES = 10


@dataclass(frozen=True)
class CurveRow:
    """One evaluation during training."""

    epoch: float
    step: int
    training_loss: float
    """Mean over the steps since the last row."""
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


class CurveCallback(TrainerCallback):
    """Collects the rows of the curve from the trainer's events."""

    def __init__(self, losses: list[Tensor], listeners: list[Listener]) -> None:
        self.losses = losses
        """The loss of every step since the last row; the trainer fills it."""
        self.listeners = listeners
        self.rows: list[CurveRow] = []

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Tell the listeners how many steps there are."""
        for listener in self.listeners:
            listener.on_start(state.max_steps, state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, lr_scheduler: Any, **_: Any
    ) -> None:
        """Tell loss and learning rate now and then; see to an evaluation after the last step."""
        if state.global_step == state.max_steps:
            control.should_log = control.should_evaluate = control.should_save = True
        if state.global_step % STEPS_BETWEEN_VALUES == 0 or control.should_evaluate:
            recent = torch.stack(self.losses[-STEPS_BETWEEN_VALUES:]).mean().item()
            values = {TRAINING_LOSS: recent, LEARNING_RATE: lr_scheduler.get_last_lr()[0]}
            for listener in self.listeners:
                listener.on_values(state.global_step, values)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **_: Any,
    ) -> None:
        """Add a row to the curve."""
        training_loss = torch.stack(self.losses).mean().item()
        self.losses.clear()
        row = CurveRow(
            epoch=round(state.epoch or 0.0, 4),
            step=state.global_step,
            training_loss=training_loss,
            validation_loss=metrics["eval_loss"],
            spearman_cosine=metrics[f"eval_{DEV}_{SPEARMAN}"],
            pearson_cosine=metrics[f"eval_{DEV}_{PEARSON}"],
        )
        self.rows.append(row)
        for listener in self.listeners:
            listener.on_row(row)
