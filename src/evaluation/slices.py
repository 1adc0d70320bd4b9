"""Spearman on slices of the pairs by length, lexical overlap and gold score."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from src.evaluation.statistics import Estimate, bootstrap_interval, spearman

MIN_PAIRS = 10
"""Minimum pairs of a slice; smaller ones are left out."""
RESAMPLES = 500
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Slice:
    """A part of the pairs, with the Spearman on it."""

    feature: str
    """Feature that defines the slice: length, lexical overlap or score."""
    label: str
    """Range of the feature, both ends included."""
    pairs: int
    spearman: Estimate


def slices(pairs: pd.DataFrame, seed: int) -> list[Slice]:
    """Return Spearman by thirds of each feature; `pairs` has the columns sentence1, sentence2, gold and predicted.

    Equal values stay together, so that thirds may differ in size. A third is left out if it has fewer than `MIN_PAIRS`
    pairs, or if its gold or predicted scores are all equal.
    """
    return [part for name, values in features(pairs).items() for part in _thirds(pairs, str(name), values, seed)]


def _thirds(pairs: pd.DataFrame, feature: str, values: pd.Series, seed: int) -> Iterator[Slice]:
    for _, part in values.groupby(pd.qcut(values, 3, duplicates="drop"), observed=True):
        gold, predicted = (pairs.loc[part.index, name].to_numpy() for name in ("gold", "predicted"))
        if len(part) < MIN_PAIRS or min(len(set(gold)), len(set(predicted))) < 2:
            continue
        interval = bootstrap_interval(spearman, gold, predicted, seed=seed, resamples=RESAMPLES)
        estimate = Estimate(float(spearman(gold, predicted)), *interval)
        yield Slice(feature, f"{part.min():.3g} to {part.max():.3g}", len(part), estimate)


def features(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return for each pair its length (characters of both sentences), lexical overlap (0 to 1) and gold score."""
    return pd.DataFrame(
        {
            "length": pairs["sentence1"].str.len() + pairs["sentence2"].str.len(),
            "lexical overlap": [overlap(*each) for each in zip(pairs["sentence1"], pairs["sentence2"], strict=True)],
            "score": pairs["gold"],
        },
        index=pairs.index,
    )


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
