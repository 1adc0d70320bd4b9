"""Where a model is good and where it is not: Spearman on parts of the pairs."""

import re
from dataclasses import dataclass

import pandas as pd

from src.metrics.statistics import Interval, bootstrap_interval, spearman

FEWEST = 10
"""A slice of fewer pairs is left out."""
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Slice:
    """A part of the pairs and the Spearman on it."""

    kind: str
    """length, lexical overlap or score."""
    label: str
    """The range of values, lowest and highest included."""
    pairs: int
    spearman: float
    interval: Interval


def overlap(first: str, second: str) -> float:
    """Return the share of letter pairs within words that two sentences have in common (Jaccard): 0 none, 1 all.

    Whole words would tell little about Korean, where particles and endings are joined to them.
    """
    one, other = _letter_pairs(first), _letter_pairs(second)
    return len(one & other) / max(len(one | other), 1)


def _letter_pairs(sentence: str) -> set[str]:
    """Return the letters of a sentence two by two; a word of one letter stands for itself."""
    words = WORD.findall(sentence.lower())
    return {word[at : at + 2] for word in words for at in range(max(len(word) - 1, 1))}


def features(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return for each pair its length (characters of both sentences), lexical overlap (0 to 1) and score (gold)."""
    return pd.DataFrame(
        {
            "length": pairs["sentence1"].str.len() + pairs["sentence2"].str.len(),
            "lexical overlap": [overlap(*each) for each in zip(pairs["sentence1"], pairs["sentence2"], strict=True)],
            "score": pairs["gold"],
        },
        index=pairs.index,
    )


def slices(pairs: pd.DataFrame, seed: int) -> list[Slice]:
    """Return Spearman by thirds of each feature; pairs have sentence1, sentence2, gold and predicted.

    Ties stay together, so that thirds may differ in size; a third whose gold or predicted scores are all equal, or
    that has fewer than `FEWEST` pairs, is left out.
    """
    found = []
    for kind, values in features(pairs).items():
        for _, part in values.groupby(pd.qcut(values, 3, duplicates="drop"), observed=True):
            chosen = pairs.loc[part.index]
            if len(part) < FEWEST or min(chosen["gold"].nunique(), chosen["predicted"].nunique()) < 2:
                continue
            gold, predicted = chosen["gold"].to_numpy(), chosen["predicted"].to_numpy()
            interval = bootstrap_interval(spearman, gold, predicted, seed, resamples=500)
            label = f"{part.min():.3g} to {part.max():.3g}"
            found.append(Slice(str(kind), label, len(part), float(spearman(gold, predicted)), interval))
    return found
