"""Whether an encoder gives sentences in a packed batch the embeddings that it gives them in a padded one.

Not every encoder does: packed attention knows no relative position bias (T5), no sliding window shorter than a sentence
(ModernBERT) and no causal mask. Two forward passes before the training tell, whatever the reason is.
"""

from typing import Any

import pyarrow.compute as pc
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import Tensor

from src.errors import UserError
from src.training.batches import COLUMNS, PackedCollator, embed_packed

CHECKED = 8
"""First pairs that are compared, besides the two with the longest sentences."""
TOLERANCE = 1e-4
"""Greatest distance of the embeddings, relative to their norm; rounding makes about 1e-6."""


@torch.no_grad()
def check_packing(encoder: SentenceTransformer, pairs: Dataset, collator: PackedCollator) -> None:
    """Compare the embeddings of a few tokenised pairs, in evaluation mode; draws no random number.

    Raises:
        UserError: they differ.

    """
    training = encoder.training
    encoder.eval()
    table = pairs.with_format("arrow")[:]
    lengths = [pc.list_value_length(table[column]) for column in COLUMNS]
    longest = [pc.index(column, pc.max(column)).as_py() for column in lengths]
    few = [pairs[index] for index in (*longest, *range(min(CHECKED, len(pairs))))]
    packed, padded = _embed_packed(encoder, few, collator), _embed_padded(encoder, few)
    encoder.train(training)
    distance = float((packed - padded).norm() / padded.norm())
    if not distance < TOLERANCE:
        raise UserError(
            f"trainer.batching=packed: expected {type(encoder[0].model).__name__} to embed packed sentences as it does"
            f" padded ones, found a relative distance of {distance:.2g}: set trainer=stock."
        )


def _embed_packed(encoder: SentenceTransformer, pairs: list[dict[str, Any]], collator: PackedCollator) -> Tensor:
    batch = PackedCollator(collator.heads, torch.float32, collator.position_offset)(pairs)
    features = {key.removeprefix("pairs_"): value.to(encoder.device) for key, value in batch.items() if key != "label"}
    return torch.cat(embed_packed(encoder, features))


def _embed_padded(encoder: SentenceTransformer, pairs: list[dict[str, Any]]) -> Tensor:
    ids = [pair[column] for column in COLUMNS for pair in pairs]
    features = encoder.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(encoder.device)
    embeddings: Tensor = encoder(dict(features))["sentence_embedding"]
    return embeddings
