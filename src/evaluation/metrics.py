"""Names of the metrics, and Spearman and Pearson correlation of predicted similarities with gold scores."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

DEV = "sts-dev"
"""Name of the evaluator of the dev split, as on the published model cards."""
TEST = "sts-test"
"""Name of the evaluator of the test split."""
SPEARMAN = "spearman_cosine"
PEARSON = "pearson_cosine"
METRICS = (SPEARMAN, PEARSON)
TRAINING_LOSS = "training_loss"
VALIDATION_LOSS = "validation_loss"
LEARNING_RATE = "learning_rate"

Floats = NDArray[np.float64]

RESOLUTION = 1e-6
"""Range within which all similarities together count as equal: rounding of float32 would decide their order."""


def as_labels(scores: Floats) -> Floats:
    """Return gold scores rounded to float32, the precision of the labels in the loss.

    All metrics use these, so that metrics computed from `predictions.parquet` equal those of the training.
    """
    return scores.astype(np.float32).astype(np.float64)


def similarity_metrics(gold: Floats, predicted: Floats) -> dict[str, float]:
    """Return Spearman and Pearson by name, NaN if the predictions are not finite or practically equal.

    Both arrays have shape (pairs,).
    """
    if not np.ptp(predicted) > RESOLUTION:
        return dict.fromkeys(METRICS, float("nan"))
    gold = as_labels(gold)
    return {
        SPEARMAN: float(spearmanr(gold, predicted).statistic),
        PEARSON: float(pearsonr(gold, predicted).statistic),
    }
