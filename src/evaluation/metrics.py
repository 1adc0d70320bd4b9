"""Metrics of an evaluation: their names, how they are computed from predictions, and which of them each shape has."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, spearmanr

from src.evaluation.statistics import (
    Floats,
    Statistic,
    average_precision,
    best_f1,
    mean,
    pearson,
    ratio_of_sums,
    spearman,
)

SPEARMAN = "spearman_cosine"
PEARSON = "pearson_cosine"
NDCG = "cosine_ndcg_at_10"
MRR = "cosine_mrr_at_10"
ACCURACY = "cosine_accuracy_at_1"
RECALL = "cosine_recall_at_10"
TRAINING_LOSS = "training_loss"
VALIDATION_LOSS = "validation_loss"
LEARNING_RATE = "learning_rate"
RESOLUTION = 1e-6
"""Range within which all similarities together count as equal: rounding of float32 would decide their order."""
CUTOFF = 10
"""Number of candidates of a query that count in nDCG, MRR and recall."""


@dataclass(frozen=True)
class Metric:
    """A number computed from two columns of a table of predictions, whose rows are resampled for its interval."""

    name: str
    """That of sentence-transformers, with `_at_` for `@`, which MLflow does not accept."""
    label: str
    """Name in tables and plots."""
    statistic: Statistic
    gold: str = "gold"
    """Column of gold scores or labels, or of weights."""
    predicted: str = "predicted"
    """Column of similarities, or of the values of each query."""
    one: Callable[[Floats, Floats], float] | None = None
    """A library's function for a single table, in place of `statistic`, which also takes several resamples."""

    @property
    def of_similarities(self) -> bool:
        """Whether the predictions are similarities, which only their order decides, and not values of queries."""
        return self.gold == "gold"

    def values(self, predictions: pd.DataFrame) -> tuple[Floats, Floats]:
        """Return gold and predicted values, each of shape (rows,); gold in the precision of the labels of a loss."""
        gold, predicted = (predictions[name].to_numpy(np.float64) for name in (self.gold, self.predicted))
        return as_labels(gold), predicted

    def compute(self, predictions: pd.DataFrame) -> float:
        """Return the metric of a table of predictions, NaN if predictions are not finite or practically equal."""
        gold, predicted = self.values(predictions)
        if self.of_similarities and not np.ptp(predicted) > RESOLUTION:
            return float("nan")
        return float(self.one(gold, predicted) if self.one else self.statistic(gold, predicted))

    def truncated(self, dim: int) -> "Metric":
        """Return the metric of embeddings cut to `dim` numbers."""
        predicted = at_dim(self.predicted, dim)
        gold = predicted if self.gold == self.predicted else self.gold
        label = f"{self.label}, {dim} dimensions"
        return replace(self, name=at_dim(self.name, dim), label=label, gold=gold, predicted=predicted)


def at_dim(name: str, dim: int) -> str:
    """Return the name of a metric or a column for embeddings cut to `dim` numbers."""
    return f"{name}_dim_{dim}"


def _of_queries(name: str, label: str) -> Metric:
    """Return a metric that is the mean of a column with its value for each query."""
    return Metric(name, label, mean, gold=name, predicted=name)


SIMILARITY = (
    Metric(SPEARMAN, "Spearman", spearman, one=lambda gold, predicted: spearmanr(gold, predicted).statistic),
    Metric(PEARSON, "Pearson", pearson, one=lambda gold, predicted: pearsonr(gold, predicted).statistic),
)
RETRIEVAL = (
    _of_queries(NDCG, "nDCG@10"),
    _of_queries(MRR, "MRR@10"),
    _of_queries(ACCURACY, "accuracy@1"),
    _of_queries(RECALL, "recall@10"),
)
TRIPLET = Metric("cosine_accuracy", "triplet accuracy", ratio_of_sums, gold="triplets", predicted="triplets_correct")
CLASSIFICATION = (
    Metric("cosine_ap", "average precision", average_precision),
    Metric("cosine_f1", "best F1", best_f1),
)
OF_SHAPE: dict[str, tuple[Metric, ...]] = {
    "scored": SIMILARITY,
    "positives": RETRIEVAL,
    "triplets": (*RETRIEVAL, TRIPLET),
    "labelled": CLASSIFICATION,
}
"""Metrics of each shape of examples, the leading one first."""


def leading_metric(shape: str) -> Metric:
    """Return the metric by which models are selected and compared on examples of this shape."""
    return OF_SHAPE[shape][0]


def metrics_of(shape: str, dims: tuple[int, ...] = ()) -> tuple[Metric, ...]:
    """Return the metrics of a shape, the leading one first, then those of embeddings cut to each of `dims`."""
    whole = OF_SHAPE[shape]
    return (*whole, *(metric.truncated(dim) for dim in dims for metric in whole))


def evaluator_name(shape: str, split: str) -> str:
    """Return the name of the evaluator of a split (dev or test), which prefixes its metrics on a model card.

    For scored pairs it is that of the published cards.
    """
    return f"sts-{split}" if shape == "scored" else split


def as_labels(scores: Floats) -> Floats:
    """Return gold scores rounded to float32, the precision of the labels in the loss.

    All metrics use these, so that metrics computed from `predictions.parquet` equal those of the training.
    """
    return scores.astype(np.float32).astype(np.float64)
