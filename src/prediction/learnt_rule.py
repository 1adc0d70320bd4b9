"""Has a model learnt the rule of project_match, or the surface? python -m src.prediction.learnt_rule [MODEL].

It ranks postings that differ in one attribute only, of combinations that are in no training pair; whoever goes by
shared words gets half of them right. Beside them stands the usage example of the published card. MODEL is as in
src.predict, by default experiments/project_match.
"""

import sys

import pandas as pd
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import pairwise_cos_sim

from src.data.project_match import MinimalPair, minimal_pairs
from src.data.project_match.card import PUBLISHED, USAGE_POSTINGS, USAGE_PROFILE
from src.entry import one_sentence
from src.prediction.model import load_model
from src.report.console import print_table

COUNT = 100
"""Minimal pairs of each attribute."""
SEED = 42


def accuracies(encoder: SentenceTransformer, pairs: list[MinimalPair]) -> dict[str, float]:
    """Return for each attribute the share of pairs whose better posting is the more similar one to the profile."""
    profile = encoder.encode([pair.profile for pair in pairs], convert_to_tensor=True)
    better, worse = (
        pairwise_cos_sim(profile, encoder.encode([pair.postings[at] for pair in pairs], convert_to_tensor=True))
        for at in (0, 1)
    )
    right = pd.Series((better > worse).cpu().numpy(), index=[pair.attribute for pair in pairs])
    return {str(name): float(share) for name, share in right.groupby(level=0, sort=False).mean().items()}


def usage_example(encoder: SentenceTransformer) -> list[float]:
    """Return the similarities of the card's usage example: of the pair that matches and of the other."""
    similarities = encoder.similarity(encoder.encode(USAGE_PROFILE), encoder.encode(list(USAGE_POSTINGS)))
    return [float(value) for value in similarities.flatten()]


def main(model: str) -> None:
    """Print the shares and the example."""
    encoder = load_model(model, "")
    shares = accuracies(encoder, minimal_pairs(COUNT, SEED))
    rows = {f"postings differ in {name}": f"{share:.0%} told right of {COUNT}" for name, share in shares.items()}
    found, published = (" and ".join(f"{value:.3f}" for value in pair) for pair in (usage_example(encoder), PUBLISHED))
    print_table(model, {**rows, "the card's example": f"{found}; the published model {published}; the rule 1 and 0"})


if __name__ == "__main__":
    with one_sentence():
        main(*(sys.argv[1:2] or ["experiments/project_match"]))
