"""The training objectives on scored sentence pairs."""

from typing import Protocol, cast

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import AnglELoss, CoSENTLoss, CosineSimilarityLoss
from torch import Tensor, nn


class PairLoss(Protocol):
    """A loss of sentence-transformers that can start from embeddings."""

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """Return the mean loss of the pairs; both embeddings (pairs, dimension), labels (pairs,)."""


LOSSES: dict[str, type[nn.Module]] = {
    "cosine_similarity": CosineSimilarityLoss,
    "cosent": CoSENTLoss,
    "angle": AnglELoss,
}


def build_loss(encoder: SentenceTransformer, name: str) -> PairLoss:
    """Return the loss of that name, a key of `LOSSES`, on this encoder."""
    return cast(PairLoss, LOSSES[name](encoder))
