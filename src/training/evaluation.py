"""One evaluation: a single encoding of the pairs gives similarities, correlations and the validation loss."""

from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer

from src.config.training import TrainerConfig
from src.metrics.similarity import correlations, cosine_similarities, embed_pairs
from src.training.losses import PairLoss


@dataclass(frozen=True)
class Evaluation:
    """The outcome on one set of pairs."""

    correlations: dict[str, float]
    """spearman_cosine and pearson_cosine."""
    loss: float
    """Mean training objective over batches."""
    gold: np.ndarray
    """Scores of the pairs, shape (pairs,)."""
    predicted: np.ndarray
    """Cosine similarities, shape (pairs,)."""


@torch.no_grad()
def evaluate(encoder: SentenceTransformer, pairs: Dataset, loss: PairLoss, config: TrainerConfig) -> Evaluation:
    """Return the evaluation of the encoder, which is left in evaluation mode; draws no random number."""
    embeddings = embed_pairs(encoder, pairs, config.eval_batch_size)
    scores = torch.tensor(list(pairs["score"]), device=embeddings[0].device)
    batches = zip(*(column.split(config.batch_size) for column in (*embeddings, scores)), strict=True)
    losses = [
        float(loss.compute_loss_from_embeddings([first, second], score)) * len(score)
        for first, second, score in batches
    ]
    gold, predicted = scores.cpu().double().numpy(), cosine_similarities(embeddings)
    return Evaluation(correlations(gold, predicted), sum(losses) / len(scores), gold, predicted)
