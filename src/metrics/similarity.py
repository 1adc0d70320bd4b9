"""How well cosine similarities of embeddings agree with the scores people gave."""

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from scipy.stats import pearsonr, spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor

from src.metrics.names import PEARSON, SPEARMAN

RESOLUTION = 1e-6
"""Cosines in float32 that differ by less are equal; their order would be that of the rounding."""


def embed_pairs(encoder: SentenceTransformer, pairs: Dataset, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return the embeddings (pairs, dimension) of both columns; equal sentences are encoded once."""
    columns = pairs.select_columns(["sentence1", "sentence2"]).to_pandas()
    codes, sentences = pd.factorize(pd.concat([columns["sentence1"], columns["sentence2"]]))
    embeddings = encoder.encode(
        sentences.tolist(), batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
    ).float()
    first, second = torch.from_numpy(codes).to(embeddings.device).chunk(2)
    return embeddings[first], embeddings[second]


def cosine_similarities(embeddings: tuple[Tensor, Tensor]) -> np.ndarray:
    """Return the cosine of each pair of embeddings, shape (pairs,), -1 to 1."""
    similarities: np.ndarray = pairwise_cos_sim(*embeddings).cpu().double().numpy()
    return similarities


def correlations(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return Spearman's and Pearson's correlation, not a number where predictions hardly differ or are none.

    Both arrays have shape (pairs,).
    """
    if not np.ptp(predicted) > RESOLUTION:
        return {SPEARMAN: float("nan"), PEARSON: float("nan")}
    return {
        SPEARMAN: float(spearmanr(gold, predicted).statistic),
        PEARSON: float(pearsonr(gold, predicted).statistic),
    }
