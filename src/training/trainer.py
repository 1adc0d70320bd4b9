"""The sentence-transformers trainer with packed batches, evaluation without a DataLoader, and atomic checkpoints."""

from collections import deque
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import TrainerControl
from transformers.trainer_utils import rotate_checkpoints
from transformers.utils import logging

from src.config.training import TrainerConfig
from src.evaluation.evaluate import evaluate
from src.evaluation.metrics import DEV
from src.training.callbacks import check_weights
from src.training.checkpoints import best_checkpoint, damage, mark_complete
from src.training.clock import TrainingClock
from src.training.packing import PackedCollator, embed_packed, tokenize
from src.utils.errors import UserError
from src.utils.files import disk_space_check
from src.utils.processes import barrier

MAX_CHECKPOINTS = 2
"""Number of checkpoints to keep: the last two, or the last and the best."""


class PairTrainer(SentenceTransformerTrainer):
    """Trainer with one forward pass per packed batch, and evaluation without a DataLoader; `config` can disable both.

    The library's own evaluation draws from the global random number generator, so evaluating more often would change
    the training; the direct evaluation draws no random numbers.
    """

    train_dataset: Dataset
    control: TrainerControl

    def __init__(self, config: TrainerConfig, clock: TrainingClock, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config, self.clock = config, clock
        self.losses: deque[Tensor] = deque()
        """Loss of each step since `EventCallback` last emptied this queue."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the DataLoader; packed batches are tokenised only here, after the model card has read the text."""
        if self.config.batching == "packed":
            self.train_dataset = tokenize(self.train_dataset, self.model)
            self.data_collator = PackedCollator.for_encoder(
                self.model, torch.bfloat16 if self.args.bf16 else torch.float32
            )
        loader: DataLoader[Any] = super().get_train_dataloader()
        return loader

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any) -> Any:
        """Return the loss of a batch; for a packed batch, from a single forward pass over both columns."""
        if "pairs_input_ids" not in inputs:
            outcome = super().compute_loss(model, inputs, return_outputs, **kwargs)
            loss = outcome[0] if return_outputs else outcome
        else:
            (features,), labels = self.collect_features(inputs)
            outcome = loss = self.loss.compute_loss_from_embeddings(embed_packed(model, features), labels)
        if model.training:
            self.losses.append(loss.detach())
        return outcome

    def _clip_grad_norm(self, model: Any) -> Tensor:
        """Return the norm of the gradients; scale them only if it is above `max_grad_norm`, which saves a pass."""
        if self.config.batching != "packed":
            return cast(Tensor, super()._clip_grad_norm(model))
        gradients = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
        # on a CPU a dot product takes a third of the time of a norm
        norm = torch.stack([gradient.dot(gradient) for gradient in gradients]).sum().sqrt()
        if norm > self.args.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(model.parameters(), self.args.max_grad_norm, norm)
        return norm

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint to the disk, mark it as complete, and only then delete all but `MAX_CHECKPOINTS`.

        Raises `UserError` if the disk is full, `TrainingDiverged` if a weight is not finite; both keep the earlier
        checkpoints.
        """
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        weights = model.state_dict().values()
        check_weights(weights, self.state.global_step, self.args)
        # the optimizer keeps two values for each trained weight
        needed = sum(weight.nbytes for weight in (*weights, *model.parameters(), *model.parameters()))
        with disk_space_check(checkpoint, checkpoint, needed):
            super()._save_checkpoint(model, trial)
            barrier()
            if self.args.should_save:
                mark_complete(checkpoint)
        if self.args.should_save:
            best = self.state.best_model_checkpoint if self.config.keep == "best" else None
            rotate_checkpoints(self.args.output_dir, MAX_CHECKPOINTS, best)

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        """Return the position at which to start; find the best checkpoint in a folder that may have moved."""
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # the library warns about the former path
        position: tuple[int, int] = super()._init_training_state(*args, **kwargs)
        logging.set_verbosity(verbosity)
        best = best_checkpoint(Path(self.args.output_dir), self.state)
        self.state.best_model_checkpoint = str(best) if best and best.is_dir() else None
        return position

    def _load_best_model(self) -> None:
        """Load the weights of the best checkpoint; raise `UserError` if it is damaged, which the library only logs."""
        best = Path(self.state.best_model_checkpoint)
        with self.clock.paused():
            if problem := damage(best):
                raise UserError(
                    f"{best}: expected the best checkpoint as it was written, found damage ({problem}): give the same"
                    " command again, which trains from the last checkpoint that can be used."
                )
            super()._load_best_model()

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return loss, Spearman and Pearson on the dev pairs, and call the callbacks."""
        direct = self.config.evaluation == "direct"
        with self.clock.paused():
            metrics: dict[str, float] = self._evaluate_directly() if direct else super().evaluate(*args, **kwargs)
        return metrics

    def _evaluate_directly(self) -> dict[str, float]:
        with self.compute_loss_context_manager():
            evaluation = evaluate(self.model, self.eval_dataset, self.loss, self.config)
        named = {f"{DEV}_{name}": value for name, value in evaluation.metrics.items()}
        card, state = self.model.model_card_data, self.state
        card.set_evaluation_metrics(self.evaluator, named, epoch=state.epoch, step=state.global_step)
        metrics = {f"eval_{name}": value for name, value in {"loss": evaluation.loss, **named}.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def remove_autocast(trainer: PairTrainer, encoder: SentenceTransformer) -> None:
    """Remove accelerate's autocast wrapper: the encoder is scored in fp32, the precision of the saved weights."""
    trainer.accelerator.unwrap_model(encoder, keep_fp32_wrapper=False)
    vars(encoder).pop("_is_accelerate_prepared", None)  # with this flag, accelerate would skip autocast next time
