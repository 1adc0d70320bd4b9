"""Prompts before the texts of a column."""

from sentence_transformers import SentenceTransformer

from src.encoder.inputs import default_prompt, unpooled_prompt


def prompt_for(encoder: SentenceTransformer, column: str) -> str:
    """Return the prompt before the texts of a column, empty if there is none."""
    return default_prompt(encoder)


def unpooled_for(encoder: SentenceTransformer, column: str) -> int:
    """Return the number of tokens at the start of the column's texts that pooling leaves out."""
    return unpooled_prompt(encoder)
