"""Words for the examples and the metrics of each shape."""

from typing import NamedTuple

from src.evaluation.metrics import ACCURACY, CLASSIFICATION, MRR, NDCG, PEARSON, RECALL, SPEARMAN, TRIPLET


class Words(NamedTuple):
    """What the examples of a shape are called in sentences."""

    unit: str
    """The examples, in one word."""
    content: str
    """What each example consists of."""
    own: str
    """What a user's examples must have."""


WORDS = {
    "scored": Words("pairs", "scored sentence pairs", "scored from 0 (nothing in common) to 1 (the same)"),
    "labelled": Words("pairs", "labelled sentence pairs", "labelled 1 (they belong together) or 0"),
    "positives": Words(
        "pairs",
        "pairs of a text and its right answer",
        "with the columns anchor and positive, such as a question and the passage that answers it",
    ),
    "triplets": Words(
        "triplets",
        "triplets of a text, its right answer and a wrong one",
        "with the columns anchor, positive and negative, such as a question, the passage that answers it and another",
    ),
}
AVERAGE_PRECISION, BEST_F1 = (metric.name for metric in CLASSIFICATION)
MEANINGS = {
    SPEARMAN: "rank correlation of the cosines with the gold scores; 1 is the same order.",
    PEARSON: "linear correlation of the two.",
    NDCG: "how early the right answers come among the 10 candidates of the highest cosine; 1 if they come first.",
    MRR: "mean of 1 / rank of the first right answer, 0 beyond rank 10.",
    ACCURACY: "share of the queries whose first candidate is right.",
    RECALL: "share of a query's right answers that are among its first 10 candidates.",
    TRIPLET.name: "share of the triplets whose right answer has a higher cosine than the wrong one.",
    AVERAGE_PRECISION: "precision averaged over the pairs with label 1, from the highest cosine to the lowest.",
    BEST_F1: "harmonic mean of precision and recall at the threshold of the cosine that is best on the same pairs.",
}
"""What each metric means."""
