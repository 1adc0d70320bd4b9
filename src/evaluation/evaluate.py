"""Direct evaluation: similarities, metrics and validation loss from a single encoding of the pairs."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor

from src.config.training import TrainerConfig
from src.data.shapes import shape_of
from src.evaluation.metrics import SPEARMAN, leading_metric, metrics_of
from src.evaluation.statistics import Estimate, Floats, bootstrap_interval


class PairLoss(Protocol):
    """A loss of sentence-transformers that can be computed from embeddings."""

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        """Return the loss of a batch: `embeddings` of each column of texts, (rows, dimension), `labels` (rows,)."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics, loss and predictions on one set of examples."""

    shape: str
    """Name of the shape of the examples."""
    metrics: dict[str, float]
    """By name, as in `metrics_of`."""
    loss: float
    """Mean loss of the batches, weighted by their size."""
    predictions: pd.DataFrame
    """The table that `Metric.compute` takes, and the texts: a row for each pair, or for each query."""
    dims: tuple[int, ...] = ()
    """Numbers of dimensions for which there are metrics besides those of whole embeddings."""

    @property
    def leading(self) -> float:
        """The leading metric."""
        return self.metrics[leading_metric(self.shape).name]


@torch.no_grad()
def evaluate(encoder: SentenceTransformer, examples: Dataset, loss: PairLoss, config: TrainerConfig) -> Evaluation:
    """Return the encoder's evaluation on the examples; leaves it in evaluation mode and uses no random numbers."""
    shape = shape_of(examples)
    embeddings = embed_pairs(encoder, examples, config.eval_batch_size)
    gold = np.array(list(examples["score"]), dtype=np.float64)
    labels = torch.tensor(gold, dtype=torch.float32, device=embeddings[0].device)
    batches = zip(*(column.split(config.batch_size) for column in (*embeddings, labels)), strict=True)
    losses = [
        float(loss.compute_loss_from_embeddings([first, second], label)) * len(label)
        for first, second, label in batches
    ]
    predictions = examples.select_columns(["sentence1", "sentence2"]).to_pandas()
    predictions = predictions.assign(gold=gold, predicted=cosine_similarities(embeddings))
    metrics = {metric.name: metric.compute(predictions) for metric in metrics_of(shape.name)}
    return Evaluation(shape.name, metrics, sum(losses) / len(gold), predictions)


def estimates(evaluation: Evaluation, seed: int) -> dict[str, Estimate]:
    """Return all metrics by name with their 95 % bootstrap intervals; `seed`: that of the bootstrap."""
    found = {}
    for metric in metrics_of(evaluation.shape, evaluation.dims):
        gold, predicted = metric.values(evaluation.predictions)
        interval = bootstrap_interval(metric.statistic, gold, predicted, seed)
        found[metric.name] = Estimate(evaluation.metrics[metric.name], *interval)
    return found


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
    """Return the cosine similarity of each pair of embeddings, shape (pairs,), -1 to 1."""
    similarities: Floats = pairwise_cos_sim(*embeddings).cpu().double().numpy()
    return similarities


def pair_evaluator(pairs: Dataset, name: str, batch_size: int = 16) -> EmbeddingSimilarityEvaluator:
    """Return the library's evaluator for a split of pairs; `name` prefixes its metrics, as on the published cards."""
    columns = (list(pairs[column]) for column in ("sentence1", "sentence2", "score"))
    options = {"batch_size": batch_size, "main_similarity": "cosine", "name": name, "write_csv": False}
    evaluator = EmbeddingSimilarityEvaluator(*columns, **options)
    evaluator.primary_metric = f"{name}_{SPEARMAN}"
    return evaluator
