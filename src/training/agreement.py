"""Whether an encoder gives sentences in a packed batch the embeddings that it gives them in a padded one.

Not every encoder does: attention by row knows no relative position bias (T5), no sliding window shorter than a sentence
(ModernBERT) and no causal mask. Two forward passes before the training tell.
"""

from typing import Any

import pyarrow.compute as pc
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import Tensor

from src.errors import UserError
from src.training.batches import COLUMNS, PackedCollator, embed_packed, features_of
from src.training.packing import packed_attention

CHECKED = 8
"""First pairs that are compared, besides the two with the longest sentences."""
TOLERANCE = 1e-3
"""Greatest distance of the embeddings, relative to their norm; rounding makes about 1e-6, with TF32 products more."""


@torch.no_grad()
def check_packing(encoder: SentenceTransformer, pairs: Dataset) -> None:
    """Compare the embeddings of a few tokenised pairs, in evaluation mode; draws no random number.

    Raises:
        UserError: they differ, or the encoder keeps its own attention.

    """
    training = encoder.training
    encoder.eval()
    few = _few(pairs)
    padded = _embed_padded(encoder, few)
    with packed_attention(encoder, True):
        batch = PackedCollator.of(encoder, torch.float32)(few)
        features = {name: values.to(encoder.device) for name, values in features_of(batch).items()}
        packed = torch.cat(embed_packed(encoder, features))
    encoder.train(training)
    distance = float((packed - padded).norm() / padded.norm())
    if not distance < TOLERANCE:
        raise UserError(
            f"trainer.batching=packed: expected {type(encoder[0].model).__name__} to embed packed sentences as it does"
            f" padded ones, found a relative distance of {distance:.2g}: set trainer=stock."
        )


def _few(pairs: Dataset) -> list[dict[str, Any]]:
    table = pairs.with_format("arrow")[:]
    lengths = [pc.list_value_length(table[column]) for column in COLUMNS]
    longest = [pc.index(column, pc.max(column)).as_py() for column in lengths]
    return [pairs[index] for index in (*longest, *range(min(CHECKED, len(pairs))))]


def _embed_padded(encoder: SentenceTransformer, pairs: list[dict[str, Any]]) -> Tensor:
    ids = [pair[column] for column in COLUMNS for pair in pairs]
    features = encoder.tokenizer.pad({"input_ids": ids}, return_attention_mask=True, return_tensors="pt")
    embeddings: Tensor = encoder(dict(features.to(encoder.device)))["sentence_embedding"]
    return embeddings
