"""The sentence-transformers trainer with packed batches, evaluation without a DataLoader, and atomic checkpoints."""

from collections import deque
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.sampler import DefaultBatchSampler, NoDuplicatesBatchSampler
from torch import Tensor
from torch.utils.data import BatchSampler, ConcatDataset, DataLoader, RandomSampler
from transformers import TrainerControl
from transformers.trainer_utils import rotate_checkpoints
from transformers.utils import logging

from src.config.training import TrainerConfig
from src.data import ExampleSet
from src.data.text_codes import TextCodes
from src.evaluation.evaluate import evaluate_sets
from src.evaluation.library import library_evaluator
from src.evaluation.metrics import evaluator_name
from src.packing.batches import PackedCollator, embed_packed
from src.packing.tokens import tokenize
from src.training.callbacks import check_weights, dev_metric
from src.training.checkpoints import best_checkpoint, damage, mark_complete
from src.training.clock import TrainingClock
from src.training.losses import ExampleLoss
from src.training.sampling import keeps_texts_apart, note_left_out
from src.utils.errors import UserError
from src.utils.files import disk_space_check
from src.utils.processes import barrier

MAX_CHECKPOINTS = 2
"""Number of checkpoints to keep: the last two, or the last and the best."""


class ExampleTrainer(SentenceTransformerTrainer):
    """Trainer on one set of examples or a mixture, with packed batches and evaluation without a DataLoader.

    `config` can disable both. The library's own evaluation draws from the global random number generator, so
    evaluating more often would change the training; the direct evaluation draws no random numbers.
    """

    train_dataset: Dataset | DatasetDict
    control: TrainerControl

    def __init__(
        self,
        config: TrainerConfig,
        clock: TrainingClock,
        data: ExampleSet,
        losses: dict[str, ExampleLoss],
        **kwargs: Any,
    ) -> None:
        self.config, self.clock, self.data, self.example_losses = config, clock, data, losses
        self.losses: deque[Tensor] = deque()
        """Loss of each forward pass since `EventCallback` last emptied this queue."""
        self.examples = 0
        """Number of examples seen in training, in this process."""
        modules = {name: loss.module for name, loss in losses.items()}
        splits = {split: {name: getattr(each, split) for name, each in data.sets.items()} for split in ("train", "dev")}
        library, name = config.evaluation == "dataloader", evaluator_name(data.shape.name, "dev")
        super().__init__(
            train_dataset=_joined(splits["train"]),
            eval_dataset=_joined(splits["dev"]),
            loss=modules if data.others else modules[data.name],
            evaluator=library_evaluator(data.dev, name, config.eval_batch_size) if library else None,
            **kwargs,
        )

    def get_batch_sampler(
        self, dataset: Dataset, batch_size: int, generator: torch.Generator | None = None, **options: Any
    ) -> BatchSampler:
        """Return the library's sampler of batches of one set, without a text twice in a batch if the loss needs it."""
        sets = self.train_dataset.items() if isinstance(self.train_dataset, DatasetDict) else ()
        name = next((name for name, each in sets if each is dataset), self.data.name)
        options |= {"batch_size": batch_size, "generator": generator}
        apart = keeps_texts_apart(self.config, self.example_losses[name].name)
        rows: Any = TextCodes(dataset) if apart else RandomSampler(cast(Any, dataset), generator=generator)
        sampler: BatchSampler = (NoDuplicatesBatchSampler if apart else DefaultBatchSampler)(rows, **options)
        if apart:
            note_left_out(rows, sampler, name)
        return sampler

    def _build_dataloader(self, dataset: Any, batch_size: int, dataset_kind: str) -> DataLoader[Any]:
        """Return the DataLoader; packed batches have the rows that the library samples from the texts, as token ids."""
        loader: DataLoader[Any] = super()._build_dataloader(dataset, batch_size, dataset_kind)
        if self.config.batching != "packed" or dataset_kind != "train":
            return loader
        rows = _joined({name: tokenize(each.train, self.model) for name, each in self.data.sets.items()})
        if isinstance(rows, DatasetDict):
            rows = ConcatDataset(self.add_dataset_name_column(rows).values())
        collate = PackedCollator.for_encoder(self.model, torch.bfloat16 if self.args.bf16 else torch.float32)
        return DataLoader(
            rows, batch_sampler=loader.batch_sampler, collate_fn=collate, pin_memory=self.args.dataloader_pin_memory
        )

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **kwargs: Any) -> Any:
        """Return the loss of a batch, in training times its weight; for a packed batch, from a single forward pass."""
        example_loss = self.example_losses[inputs.get("dataset_name", self.data.name)]
        if "packed0_input_ids" in inputs:
            features, labels = self.collect_features(inputs)
            columns = embed_packed(model, features)
            rows, loss = len(columns[0]), example_loss.compute_loss_from_embeddings(columns, labels)
        else:
            first = self.collect_features(inputs)[0][0]
            # static embeddings have the tokens of all texts in one sequence, and where each text starts
            rows = len(first["offsets"] if "offsets" in first else next(iter(first.values())))
            loss = super().compute_loss(model, inputs, **kwargs)
        if model.training:
            loss = loss * example_loss.weight
            self.losses.append(loss.detach())
            self.examples += rows
        return (loss, {}) if return_outputs else loss

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
        """Return loss and metrics on the dev examples, and call the callbacks."""
        direct = self.config.evaluation == "direct"
        with self.clock.paused():
            metrics: dict[str, float] = self._evaluate_directly() if direct else super().evaluate(*args, **kwargs)
        return metrics

    def _evaluate_directly(self) -> dict[str, float]:
        dev = {name: each.dev for name, each in self.data.sets.items()}
        evaluation = evaluate_sets(self.model, dev, dict(self.example_losses), self.config, self.config.precision)
        named = {dev_metric(evaluation.shape, name): value for name, value in evaluation.metrics.items()}
        metrics = {f"eval_{name}": value for name, value in {"loss": evaluation.loss, **named}.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train for an epoch, unless the checkpoint that was resumed from has ended the training early."""
        if not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)


def _joined(sets: dict[str, Dataset]) -> Dataset | DatasetDict:
    """Return the only set as it is, so that its batches are those of a single data set, or a mixture of copies.

    The library writes a column with its name into each set of a mixture.
    """
    if len(sets) == 1:
        return next(iter(sets.values()))
    return DatasetDict({name: each.with_format(None) for name, each in sets.items()})


def remove_autocast(trainer: ExampleTrainer, encoder: SentenceTransformer) -> None:
    """Remove accelerate's autocast wrapper: the encoder is scored in fp32, the precision of the saved weights."""
    trainer.accelerator.unwrap_model(encoder, keep_fp32_wrapper=False)
    vars(encoder).pop("_is_accelerate_prepared", None)  # with this flag, accelerate would skip autocast next time
