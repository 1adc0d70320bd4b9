"""Training losses by name, computed from texts or from embeddings, at one or several numbers of dimensions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    AnglELoss,
    CoSENTLoss,
    CosineSimilarityLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
    OnlineContrastiveLoss,
    TripletDistanceMetric,
    TripletLoss,
)
from sentence_transformers.sentence_transformer.losses.matryoshka import shrink
from torch import Tensor, nn

from src.config.training import LossConfig
from src.utils.errors import require

SYMMETRIC: dict[str, Any] = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
LOSSES: dict[str, Callable[[SentenceTransformer, LossConfig], Any]] = {
    "cosine_similarity": lambda encoder, loss: CosineSimilarityLoss(encoder),
    "cosent": lambda encoder, loss: CoSENTLoss(encoder, loss.scale),
    "angle": lambda encoder, loss: AnglELoss(encoder, loss.scale),
    "mnrl": lambda encoder, loss: MultipleNegativesRankingLoss(
        encoder, loss.scale, **(SYMMETRIC if loss.symmetric else {})
    ),
    "triplet": lambda encoder, loss: TripletLoss(encoder, TripletDistanceMetric.COSINE, loss.margin),
    "online_contrastive": lambda encoder, loss: OnlineContrastiveLoss(encoder, margin=loss.margin),
}


@dataclass(frozen=True)
class ExampleLoss:
    """A loss of sentence-transformers with its weight in the training."""

    name: str
    """Key of `LOSSES`."""
    module: nn.Module
    """The library's loss of the texts of a batch; with several numbers of dimensions a `MatryoshkaLoss` around it."""
    matryoshka_dims: tuple[int, ...]
    """Numbers of dimensions besides the model's own, in descending order."""
    weight: float
    """Factor of the loss in the training; a validation loss has none."""

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        """Return the loss of a batch: `embeddings` of each column of texts, (rows, dimension), `labels` (rows,)."""
        module: Any = self.module
        if isinstance(module, MatryoshkaLoss):
            cuts = [[shrink(column, dim) for column in embeddings] for dim in module.matryoshka_dims]
            values = [cast(Any, module.loss).compute_loss_from_embeddings(cut, labels) for cut in cuts]
            return torch.stack(values).sum()
        loss: Tensor = module.compute_loss_from_embeddings(embeddings, labels)
        return loss


def build_loss(encoder: SentenceTransformer, loss: LossConfig, weight: float = 1.0) -> ExampleLoss:
    """Return the loss of these settings, whose name is a key of `LOSSES`, built on this encoder.

    Raises `UserError` if a number of dimensions exceeds that of the encoder.
    """
    module, full = LOSSES[loss.name](encoder, loss), encoder.get_embedding_dimension()
    dims = sorted({full, *loss.matryoshka_dims}, reverse=True)
    fits = not loss.matryoshka_dims or dims[0] == full
    require(fits, "loss.matryoshka_dims", f"numbers up to {full}, the dimension of the model", loss.matryoshka_dims)
    if loss.matryoshka_dims:
        module = MatryoshkaLoss(encoder, module, dims)
    return ExampleLoss(loss.name, module, tuple(dims[1:]), weight)
