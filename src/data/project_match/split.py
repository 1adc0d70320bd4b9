"""Which (stack, region, years) combinations a split may use."""

from itertools import product

import numpy as np

from src.data.project_match.rule import Combination
from src.data.project_match.vocabulary import REGIONS, STACKS, YEARS

SIXTHS = {"train": 4, "dev": 1, "test": 1}
"""How many sixths of all combinations belong to each split."""


def combinations_of(split: str, seed: int) -> list[Combination]:
    """Return the combinations of a split: of all 792, each belongs to one split, for profiles and postings alike."""
    every = [Combination(*values) for values in product(STACKS, REGIONS, YEARS)]
    owners = np.resize(np.repeat(list(SIXTHS), list(SIXTHS.values())), len(every))
    owner = np.random.default_rng(seed).permutation(owners)
    return [combination for combination, name in zip(every, owner.tolist(), strict=True) if name == split]
