"""Postings that differ in one attribute, to see whether a model has learnt the rule or the surface."""

from itertools import permutations, product
from typing import NamedTuple

import numpy as np

from src.data.project_match.rule import Combination, score
from src.data.project_match.split import combinations_of
from src.data.project_match.vocabulary import POSTING, POSTING_EXTRAS, PROFILE, PROFILE_EXTRAS, REQUIRED_YEARS


class MinimalPair(NamedTuple):
    """One profile, and two postings equal but for one attribute, the better first."""

    attribute: str
    """Field of `Combination` in which the postings differ; the profile has neither of the two values."""
    profile: str
    postings: tuple[str, str]
    scores: tuple[float, float]


def minimal_pairs(count: int, seed: int, split: str = "test") -> list[MinimalPair]:
    """Return `count` minimal pairs for each attribute, drawn from the combinations of a split.

    Since the value that differs is in the profile in neither posting, shared words do not tell the two postings apart:
    Django meets Flask and not Spring Boot, 재택 meets any region, five years meet four and not six. Contrast sets,
    Gardner et al. (2020), https://arxiv.org/abs/2004.02709. Dev and test have more than 100 for each attribute; a
    `ValueError` is raised where `count` is more than there are.
    """
    rng = np.random.default_rng([seed, *b"minimal pairs"])
    found = _candidates(combinations_of(split, seed))
    return [
        _write(name, *rows[int(i)], rng)
        for name, rows in found.items()
        for i in rng.choice(len(rows), count, replace=False)
    ]


def _candidates(combinations: list[Combination]) -> dict[str, list[tuple[Combination, Combination, Combination]]]:
    """Return for each attribute all (profile, better posting, worse posting)."""
    required = [combination for combination in combinations if combination.years in REQUIRED_YEARS]
    neighbours = [(a, b, name) for a, b in permutations(required, 2) if (name := _only_difference(a, b))]
    found: dict[str, list[tuple[Combination, Combination, Combination]]] = {name: [] for name in Combination._fields}
    for profile, (better, worse, name) in product(combinations, neighbours):
        own = getattr(profile, name)
        is_shared = own in (getattr(better, name), getattr(worse, name))
        if not is_shared and score(profile, better) > score(profile, worse):
            found[name].append((profile, better, worse))
    return found


def _only_difference(a: Combination, b: Combination) -> str | None:
    names = [name for name in Combination._fields if getattr(a, name) != getattr(b, name)]
    return names[0] if len(names) == 1 else None


def _write(
    name: str, profile: Combination, better: Combination, worse: Combination, rng: np.random.Generator
) -> MinimalPair:
    extras = str(rng.choice(POSTING_EXTRAS))
    first, second = (POSTING.format(**posting._asdict(), extras=extras) for posting in (better, worse))
    sentence = PROFILE.format(**profile._asdict(), extras=rng.choice(PROFILE_EXTRAS))
    return MinimalPair(name, sentence, (first, second), (score(profile, better), score(profile, worse)))
