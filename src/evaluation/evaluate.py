"""Evaluation of an encoder on examples of any shape: metrics, predictions and loss from a single encoding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler
from torch import Tensor

from src.config.training import TrainerConfig
from src.data.shapes import Shape, shape_of
from src.data.text_codes import TextCodes
from src.evaluation.bootstrap import bootstrap_interval, percentile_interval, resample
from src.evaluation.embedding import Embedded, embed
from src.evaluation.metrics import Metric, at_dim, leading_metric, metrics_of
from src.evaluation.retrieval import rank_queries
from src.evaluation.statistics import Estimate, Floats

SEED = 0
"""Seed of the batches of the validation loss, the same in every evaluation."""


class PairLoss(Protocol):
    """A loss of sentence-transformers that can be computed from embeddings.

    It may have an attribute `matryoshka_dims`: the numbers of dimensions to evaluate besides all.
    """

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        """Return the loss of a batch: `embeddings` of each column of texts, (rows, dimension), `labels` (rows,)."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics, loss and predictions on one set of examples, and those of the other sets of a mixture."""

    shape: str
    """Name of the shape of the examples."""
    metrics: dict[str, float]
    """By name, as in `metrics_of`, the leading one first; those of other sets as `SET/NAME`."""
    loss: float
    """Mean loss of the batches, weighted by their size; NaN if it was not computed."""
    predictions: pd.DataFrame
    """The table that `Metric.compute` takes, and the texts: a row for each pair, or for each query."""
    dims: tuple[int, ...] = ()
    """Numbers of dimensions for which there are metrics besides those of whole embeddings."""
    others: dict[str, "Evaluation"] = field(default_factory=dict)
    """Evaluations of the other sets of a mixture by name."""

    @property
    def leading(self) -> float:
        """The leading metric."""
        return self.metrics[leading_metric(self.shape).name]

    @property
    def of_shape(self) -> tuple[Metric, ...]:
        """The metrics of this set, without those of others."""
        return metrics_of(self.shape, self.dims)


@torch.no_grad()
def evaluate(
    encoder: SentenceTransformer, examples: Dataset, loss: PairLoss, config: TrainerConfig, precision: str = "fp32"
) -> Evaluation:
    """Return the encoder's evaluation on the examples; leaves it in evaluation mode and uses no random numbers."""
    embedded = embed(encoder, examples, config.eval_batch_size, precision)
    found = evaluate_embedded(embedded, examples, tuple(getattr(loss, "matryoshka_dims", ())))
    batches = batches_of(examples, shape_of(examples), config.batch_size)
    return replace(found, loss=validation_loss(loss, embedded, gold_of(examples), batches))


def evaluate_embedded(embedded: Embedded, examples: Dataset, dims: tuple[int, ...] = ()) -> Evaluation:
    """Return the evaluation of embeddings of the examples, without a loss; `dims` as in `Evaluation`."""
    shape, gold = shape_of(examples).name, gold_of(examples)
    predictions = rank_queries(embedded, dims) if gold is None else compare_pairs(embedded, gold, dims)
    metrics = {metric.name: metric.compute(predictions) for metric in metrics_of(shape, dims)}
    return Evaluation(shape, metrics, nan, predictions, dims)


def gold_of(examples: Dataset) -> Floats | None:
    """Return the gold scores or labels, shape (rows,), None for examples without them."""
    label = shape_of(examples).label
    return np.array(list(examples[label]), dtype=np.float64) if label else None


def evaluate_sets(
    encoder: SentenceTransformer,
    splits: Mapping[str, Dataset],
    losses: Mapping[str, PairLoss],
    config: TrainerConfig,
    precision: str = "fp32",
) -> Evaluation:
    """Return the evaluation of the first split, with the metrics of the others; `losses` by the names of the splits."""
    found = {name: evaluate(encoder, split, losses[name], config, precision) for name, split in splits.items()}
    first, *names = found
    others = {name: found[name] for name in names}
    metrics = {f"{name}/{key}": value for name, other in others.items() for key, value in other.metrics.items()}
    return replace(found[first], metrics=found[first].metrics | metrics, others=others)


def compare_pairs(embedded: Embedded, gold: Floats, dims: tuple[int, ...]) -> pd.DataFrame:
    """Return the texts of each pair with gold and predicted values, also from embeddings cut to each of `dims`."""
    first, second = embedded.columns
    table = pd.DataFrame({name: embedded.texts[codes] for name, codes in embedded.columns.items()})
    cut = {at_dim("predicted", dim): embedded.cut(dim).similarities(first, second) for dim in dims}
    return table.assign(gold=gold, predicted=embedded.similarities(first, second), **cut)


def batches_of(examples: Dataset, shape: Shape, size: int) -> Sequence[slice | list[int]]:
    """Return the rows of each batch: consecutive ones, or without labels, no text twice in a batch.

    The others of a batch are negatives of a query in most losses of examples without labels.
    """
    if shape.label:
        return [slice(start, start + size) for start in range(0, len(examples), size)]
    rows = cast(Any, TextCodes(examples))
    return list(NoDuplicatesBatchSampler(rows, size, drop_last=False, generator=torch.Generator(), seed=SEED))


def validation_loss(
    loss: PairLoss, embedded: Embedded, gold: Floats | None, batches: Sequence[slice | list[int]]
) -> float:
    """Return the mean loss of the batches, weighted by their size."""
    labels = None if gold is None else torch.tensor(gold, dtype=torch.float32, device=embedded.vectors.device)
    total, count = 0.0, 0
    for rows in batches:
        columns = [embedded.embeddings(name, rows) for name in embedded.columns]
        mean = loss.compute_loss_from_embeddings(columns, None if labels is None else labels[rows])
        total += float(mean) * len(columns[0])
        count += len(columns[0])
    return total / count


def estimates(evaluation: Evaluation, seed: int) -> dict[str, Estimate]:
    """Return all metrics by name with their 95 % bootstrap intervals; `seed`: that of the bootstrap."""
    found = {metric.name: estimate(evaluation, metric, seed) for metric in evaluation.of_shape}
    for name, other in evaluation.others.items():
        found |= {f"{name}/{key}": value for key, value in estimates(other, seed).items()}
    return found


def estimate(evaluation: Evaluation, metric: Metric, seed: int) -> Estimate:
    """Return one of the metrics with its 95 % bootstrap interval."""
    gold, predicted = metric.values(evaluation.predictions)
    return Estimate(evaluation.metrics[metric.name], *bootstrap_interval(metric.statistic, gold, predicted, seed))


def paired_gain(before: Evaluation, after: Evaluation, seed: int) -> Estimate:
    """Return the leading metric of `after` minus that of `before` on the same examples, with its 95 % interval.

    Both are computed on the same resampled pairs or queries.
    """
    metric = leading_metric(after.shape)
    (gold, first), (_, second) = (metric.values(each.predictions) for each in (before, after))
    drawn = resample(metric.statistic, gold, np.stack([first, second]), seed).trainings
    return Estimate(after.leading - before.leading, *percentile_interval(drawn[:, 1] - drawn[:, 0]))
