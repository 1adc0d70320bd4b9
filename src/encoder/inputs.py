"""What an encoder does with a text before its first layer: length limit and token ids."""

from collections.abc import Sequence
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

UNLIMITED = 10**8
"""Lengths from here on mean that there is no limit: transformers writes 10^30, static embeddings have infinity."""


def transformer_of(encoder: SentenceTransformer) -> Any | None:
    """Return the transformer that turns token ids into vectors, None for static embeddings and other kinds of models.

    None too for a model whose texts take another way, such as CLIP, or a chat template.
    """
    first: Any = encoder[0]
    if not isinstance(first, Transformer) or "message" in first.modality_config:
        return None
    return first.model if first.modality_config.get("text", {}).get("method") == "forward" else None


def position_limit(encoder: SentenceTransformer) -> int | None:
    """Return the number of tokens that the model has positions for, None if there is no limit.

    RoBERTa and its relatives count positions from behind the padding index: 514 positions take 512 tokens.
    """
    first: Any = encoder[0]
    if not isinstance(first, Transformer):
        return None
    config = first.model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    # DeBERTa has a number of positions and no table of them: its positions are relative
    if not isinstance(positions, int) or positions < 1 or getattr(config, "position_biased_input", True) is False:
        return None
    return positions - int(first._infer_flatten_position_offset())


def token_limit(encoder: SentenceTransformer) -> int | None:
    """Return the number of tokens at which the encoder cuts a text, None if it does not."""
    longest = encoder.max_seq_length
    return None if longest is None or longest >= UNLIMITED else int(longest)


def token_ids(tokenizer: Any, texts: Sequence[str], longest: int | None = None) -> list[list[int]]:
    """Return the token ids of each text, cut to `longest` tokens if given."""
    if isinstance(tokenizer, Tokenizer):  # of static embeddings
        return [encoding.ids for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    if not isinstance(tokenizer, PreTrainedTokenizerBase):  # of word embeddings
        return [tokenizer.tokenize(text) for text in texts]
    ids: list[list[int]] = tokenizer(
        list(texts),
        truncation=longest is not None,
        max_length=longest,
        # the other outputs take as long to convert as the ids
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )["input_ids"]
    return ids
