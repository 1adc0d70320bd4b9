"""The training objectives on scored sentence pairs."""

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
    """Return the loss of that name, a key of `LOSSES`, on this encoder."""
    return cast(PairLoss, LOSSES[name](encoder))
