"""Training losses on scored sentence pairs, by name."""

from typing import cast

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import AnglELoss, CoSENTLoss, CosineSimilarityLoss
from torch import nn

from src.evaluation.evaluate import PairLoss

LOSSES: dict[str, type[nn.Module]] = {
    "cosine_similarity": CosineSimilarityLoss,
    "cosent": CoSENTLoss,
    "angle": AnglELoss,
}


def build_loss(encoder: SentenceTransformer, name: str) -> PairLoss:
    """Return the loss `name`, a key of `LOSSES`, built on this encoder."""
    return cast(PairLoss, LOSSES[name](encoder))
