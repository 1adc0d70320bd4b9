"""Numbers that are not numbers end a training, before they are recorded and before a checkpoint holds them."""

import math
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor
from torch.nn.utils import get_total_norm
from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from src.errors import Diverged
from src.metrics.names import SPEARMAN
from src.training.evaluation import Evaluation


def mean_loss(losses: Tensor, step: int, args: TrainingArguments) -> float:
    """Return the mean of the losses of the last steps up to `step`; raise `Diverged` if one of them is not finite."""
    mean = losses.mean().item()
    if math.isfinite(mean):
        return mean
    first = int((~losses.isfinite()).nonzero()[0])
    at = step - len(losses) + 1 + first
    raise _diverged(at, "a training loss that is a finite number", f"{losses[first].item()}", args)


def check_evaluation(
    loss: float, spearman: float, weights: Iterable[Tensor], step: int, args: TrainingArguments
) -> None:
    """Raise `Diverged` if validation loss, Spearman or a weight is no finite number after `step`."""
    if not math.isfinite(loss):
        raise _diverged(step, "a validation loss that is a finite number", f"{loss}", args)
    check_weights(weights, step, args)
    if not math.isfinite(spearman):
        raise _diverged(step, "similarities that tell the dev pairs apart", "the same for all of them", args)


def check_weights(weights: Iterable[Tensor], step: int, args: TrainingArguments) -> None:
    """Raise `Diverged` if a weight is no finite number after `step`."""
    if not get_total_norm(weights, math.inf).isfinite():
        raise _diverged(step, "finite weights", "some that are not", args)


def check_encoder(evaluation: Evaluation, whose: str) -> None:
    """Raise `Diverged` if an encoder gives no numbers, or all pairs the same similarity; `whose` names it."""
    if not math.isfinite(evaluation.correlations[SPEARMAN]):
        predicted = evaluation.predicted
        raise Diverged(
            f"{whose}: expected similarities that tell pairs apart, found {predicted.min():g} to {predicted.max():g}"
            f" for all {len(predicted):,}",
            "take another encoder (model=…)",
        )


def _diverged(step: int, expected: str, found: str, args: TrainingArguments) -> Diverged:
    coarse = (", or bf16 too coarse", " or trainer.precision=fp32") if args.bf16 else ("", "")
    folder = Path(args.output_dir)
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    kept = f", with trainer.resume=never, which removes {last}, the last good checkpoint" if last else ""
    return Diverged(
        f"step {step}: expected {expected}, found {found}; the learning rate {args.learning_rate:g} is probably too"
        f" high{coarse[0]}",
        f"set a lower trainer.learning_rate{coarse[1]}{kept}",
    )
