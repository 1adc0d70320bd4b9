"""The leading metric on slices of the pairs or queries: by length, lexical overlap, gold score, right answers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from src.evaluation.bootstrap import bootstrap_interval
from src.evaluation.metrics import Metric, leading_metric
from src.evaluation.statistics import Estimate

MIN_ROWS = 10
"""Minimum pairs or queries of a slice; smaller ones are left out."""
RESAMPLES = 500
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Slice:
    """A part of the pairs or queries, with the leading metric on it."""

    feature: str
    """Feature that defines the slice, as in `features`."""
    label: str
    """Range of the feature, both ends included."""
    rows: int
    """Number of pairs or queries."""
    estimate: Estimate


def slices(predictions: pd.DataFrame, shape: str, seed: int) -> list[Slice]:
    """Return the leading metric of a shape by thirds of each feature of its predictions.

    Equal values stay together, so that thirds may differ in size. A third is left out if it has fewer than `MIN_ROWS`
    rows, or if its gold or predicted scores are all equal.
    """
    metric = leading_metric(shape)
    return [
        part
        for name, values in features(predictions, shape).items()
        for part in _thirds(predictions, metric, str(name), values, seed)
    ]


def _thirds(predictions: pd.DataFrame, metric: Metric, feature: str, values: pd.Series, seed: int) -> Iterator[Slice]:
    for _, part in values.groupby(pd.qcut(values, 3, duplicates="drop"), observed=True):
        gold, predicted = metric.values(predictions.loc[part.index])
        constant = metric.of_similarities and min(len(set(gold)), len(set(predicted))) < 2
        if len(part) < MIN_ROWS or constant:
            continue
        interval = bootstrap_interval(metric.statistic, gold, predicted, seed=seed, resamples=RESAMPLES)
        estimate = Estimate(float(metric.statistic(gold, predicted)), *interval)
        yield Slice(feature, f"{part.min():.3g} to {part.max():.3g}", len(part), estimate)


def features(predictions: pd.DataFrame, shape: str) -> pd.DataFrame:
    """Return length (characters) and lexical overlap (0 to 1) of each pair, and its gold score if it is not a label.

    Of a query its own length, its overlap with the best ranked right answer, and the number of right answers.
    """
    queries = "anchor" in predictions
    first, second = (predictions[name] for name in (("anchor", "positive") if queries else ("sentence1", "sentence2")))
    found = {
        "length": first.str.len() if queries else first.str.len() + second.str.len(),
        "lexical overlap": [overlap(*each) for each in zip(first, second, strict=True)],
    }
    if shape == "scored":
        found["score"] = predictions["gold"]
    if queries:
        found["right answers"] = predictions["positives"]
    return pd.DataFrame(found, index=predictions.index)


def overlap(first: str, second: str) -> float:
    """Return the Jaccard similarity (0 to 1) of the letter bigrams of two sentences.

    Bigrams do not cross word boundaries. Whole words would be too coarse for Korean, where particles and endings are
    attached to them.
    """
    one, other = _bigrams(first), _bigrams(second)
    return len(one & other) / max(len(one | other), 1)


def _bigrams(sentence: str) -> set[str]:
    """Return the letter bigrams of the words of a sentence; a word of one letter is kept as it is."""
    words = WORD.findall(sentence.lower())
    return {word[at : at + 2] for word in words for at in range(max(len(word) - 1, 1))}
