"""Accuracy of a model on minimal pairs of project_match: has it learnt the rule, or the wording?

    python -m src.prediction.learnt_rule experiments/project_match

prints for each attribute the share of minimal pairs in the correct order, and the similarities of the model card's
example. A minimal pair is a profile with two postings that differ in one attribute.
"""

from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from itertools import permutations, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from src.cli import Parser, parser_command
from src.config.tracking import default_uri
from src.data.project_match import (
    POSTING,
    POSTING_EXTRAS,
    PROFILE,
    PROFILE_EXTRAS,
    PUBLISHED,
    REQUIRED_YEARS,
    USAGE_POSTINGS,
    USAGE_PROFILE,
    Combination,
    combinations_of,
    score,
)
from src.prediction.encoder import load_model
from src.utils.console import log_table

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

COUNT = 100
"""Minimal pairs for each attribute."""
SEED = 42

Contrast = tuple[Combination, Combination, Combination]
"""Profile, better posting, worse posting."""


class MinimalPair(NamedTuple):
    """A profile and two postings that differ in one attribute, the better posting first."""

    attribute: str
    """Field of `Combination` in which the postings differ; the profile has neither of the two values."""
    profile: str
    postings: tuple[str, str]
    scores: tuple[float, float]


def minimal_pairs(count: int, seed: int, split: str = "test") -> list[MinimalPair]:
    """Return `count` minimal pairs for each attribute, drawn from the combinations of a split.

    The profile contains neither of the two values, so shared words do not separate the postings: Django fits Flask but
    not Spring Boot, 재택 (remote) fits any region, five years fit four, not six. Contrast sets (Gardner et al., 2020):
    https://arxiv.org/abs/2004.02709. Dev and test have more than 100 for each attribute.

    Raises `ValueError` if the split has fewer than `count`.
    """
    rng = np.random.default_rng([seed, *b"minimal pairs"])
    contrasts = _contrasts(combinations_of(split, seed))
    return [
        _format(attribute, *rows[int(i)], rng)
        for attribute, rows in contrasts.items()
        for i in rng.choice(len(rows), count, replace=False)
    ]


def accuracies(encoder: "SentenceTransformer", pairs: list[MinimalPair]) -> dict[str, float]:
    """Return for each attribute the share of pairs whose better posting is more similar to the profile."""
    from sentence_transformers.util import pairwise_cos_sim  # takes seconds to import

    profile = _embed(encoder, "sentence1", [pair.profile for pair in pairs])
    better, worse = (
        pairwise_cos_sim(profile, _embed(encoder, "sentence2", [pair.postings[i] for pair in pairs])) for i in (0, 1)
    )
    correct = pd.Series((better > worse).cpu().numpy(), index=[pair.attribute for pair in pairs])
    return {str(name): float(share) for name, share in correct.groupby(level=0, sort=False).mean().items()}


def usage_example(encoder: "SentenceTransformer") -> list[float]:
    """Return the similarities of the model card's example: of the matching pair and of the other."""
    profile, postings = _embed(encoder, "sentence1", [USAGE_PROFILE]), _embed(encoder, "sentence2", USAGE_POSTINGS)
    return [float(value) for value in encoder.similarity(profile, postings).flatten()]


def _embed(encoder: "SentenceTransformer", column: str, texts: Sequence[str]) -> "Tensor":
    from src.encoder.prompts import prompt_for  # takes seconds to import

    embeddings: Tensor = encoder.encode(list(texts), prompt=prompt_for(encoder, column), convert_to_tensor=True)
    return embeddings


def run(model: str) -> None:
    """Print the accuracies and the similarities of the usage example."""
    encoder = load_model(model, default_uri())
    shares = accuracies(encoder, minimal_pairs(COUNT, SEED))
    rows = {f"postings differ in {name}": f"{share:.0%} of {COUNT} correct" for name, share in shares.items()}
    found, published = (" and ".join(f"{value:.3f}" for value in pair) for pair in (usage_example(encoder), PUBLISHED))
    example = f"{found}; the published model {published}; the rule 1 and 0"
    log_table(model, {**rows, "the card's example": example})


def parser() -> Parser:
    """Return the parser of the command line."""
    name = "python -m src.prediction.learnt_rule"
    parser = Parser(name, description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    default = "experiments/project_match"
    parser.add_argument("model", nargs="?", default=default, help=f"as in src.predict (default: {default})")
    return parser


def _contrasts(combinations: list[Combination]) -> dict[str, list[Contrast]]:
    """Return all contrasts for each attribute."""
    required = [combination for combination in combinations if combination.years in REQUIRED_YEARS]
    postings = [(a, b, name) for a, b in permutations(required, 2) if (name := _only_difference(a, b))]
    contrasts: dict[str, list[Contrast]] = {name: [] for name in Combination._fields}
    for profile, (better, worse, name) in product(combinations, postings):
        is_shared = getattr(profile, name) in (getattr(better, name), getattr(worse, name))
        if not is_shared and score(profile, better) > score(profile, worse):
            contrasts[name].append((profile, better, worse))
    return contrasts


def _only_difference(a: Combination, b: Combination) -> str | None:
    names = [name for name in Combination._fields if getattr(a, name) != getattr(b, name)]
    return names[0] if len(names) == 1 else None


def _format(
    attribute: str, profile: Combination, better: Combination, worse: Combination, rng: np.random.Generator
) -> MinimalPair:
    extras = str(rng.choice(POSTING_EXTRAS))
    first, second = (POSTING.format(**posting._asdict(), extras=extras) for posting in (better, worse))
    sentence = PROFILE.format(**profile._asdict(), extras=rng.choice(PROFILE_EXTRAS))
    return MinimalPair(attribute, sentence, (first, second), (score(profile, better), score(profile, worse)))


if __name__ == "__main__":
    parser_command(run, parser())()
