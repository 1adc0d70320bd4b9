"""One evaluation: a single encoding of the pairs gives similarities, metrics and the validation loss."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor

from src.config.training import TrainerConfig
from src.evaluation.metrics import Floats, similarity_metrics


class PairLoss(Protocol):
    """A loss of sentence-transformers that can start from embeddings."""

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """Return the mean loss of the pairs; both embeddings (pairs, dimension), labels (pairs,)."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome on one set of pairs."""

    metrics: dict[str, float]
    """Spearman and Pearson under their names."""
    loss: float
    """Mean training objective over batches."""
    gold: Floats
    """Gold scores of the pairs, shape (pairs,)."""
    predicted: Floats
    """Cosine similarities, shape (pairs,)."""


@torch.no_grad()
def evaluate(encoder: SentenceTransformer, pairs: Dataset, loss: PairLoss, config: TrainerConfig) -> Evaluation:
    """Return the evaluation of the encoder, which is left in evaluation mode; draws no random number."""
    embeddings = embed_pairs(encoder, pairs, config.eval_batch_size)
    gold = np.array(list(pairs["score"]), dtype=np.float64)
    labels = torch.tensor(gold, dtype=torch.float32, device=embeddings[0].device)
    batches = zip(*(column.split(config.batch_size) for column in (*embeddings, labels)), strict=True)
    losses = [
        float(loss.compute_loss_from_embeddings([first, second], label)) * len(label)
        for first, second, label in batches
    ]
    predicted = cosine_similarities(embeddings)
    return Evaluation(similarity_metrics(gold, predicted), sum(losses) / len(gold), gold, predicted)


def embed_pairs(encoder: SentenceTransformer, pairs: Dataset, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return the embeddings (pairs, dimension) of both columns; equal sentences are encoded once."""
    columns = pairs.select_columns(["sentence1", "sentence2"]).to_pandas()
    codes, sentences = pd.factorize(pd.concat([columns["sentence1"], columns["sentence2"]]))
    embeddings = encoder.encode(
        sentences.tolist(), batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
    ).float()
    first, second = torch.from_numpy(codes).to(embeddings.device).chunk(2)
    return embeddings[first], embeddings[second]


def cosine_similarities(embeddings: tuple[Tensor, Tensor]) -> Floats:
    """Return the cosine of each pair of embeddings, shape (pairs,), -1 to 1."""
    similarities: Floats = pairwise_cos_sim(*embeddings).cpu().double().numpy()
    return similarities
