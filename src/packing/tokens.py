"""Token ids of the texts of a data set, computed once for all training runs of a process."""

import sys
from typing import Any
from weakref import WeakKeyDictionary

from datasets import Dataset, disable_progress_bars, enable_progress_bars
from sentence_transformers import SentenceTransformer

from src.data.shapes import text_columns
from src.encoder.coverage import TextCoverage
from src.encoder.prompts import prompt_for

SLOW_TO_TOKENIZE = 100_000
"""Number of examples from which tokenising shows a progress bar on a terminal."""

_tokenized: WeakKeyDictionary[Dataset, tuple[Any, Dataset, TextCoverage]] = WeakKeyDictionary()
"""Cache of the last token ids of each data set, with a key that identifies what turned its texts into them."""


def tokenize(examples: Dataset, encoder: SentenceTransformer) -> Dataset:
    """Return the examples with token ids (lists of int) in place of texts.

    The ids are those of `encoder.encode`, with the prompt of each column. The last result for each data set is cached,
    for further training runs on the same examples in this process.
    """
    return tokenize_counted(examples, encoder)[0]


def tokenize_counted(examples: Dataset, encoder: SentenceTransformer) -> tuple[Dataset, TextCoverage]:
    """Return the examples as in `tokenize`, and what the encoder does not see of their texts."""
    tokenizer = encoder.tokenizer
    prompts = {column: prompt_for(encoder, column) for column in text_columns(examples.column_names)}
    kept, key = _tokenized.get(examples), (len(tokenizer), encoder.max_seq_length, prompts)
    if kept is None or kept[0] != key or kept[2].tokenizer is not tokenizer:
        kept = _tokenized[examples] = (key, *_tokenize(examples, encoder, prompts))
    return kept[1:]


def _tokenize(examples: Dataset, encoder: SentenceTransformer, prompts: dict[str, str]) -> tuple[Dataset, TextCoverage]:
    coverage = TextCoverage(encoder)

    def ids(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {column: coverage.cut_ids(batch[column], prompt) for column, prompt in prompts.items()}

    visible = len(examples) >= SLOW_TO_TOKENIZE and sys.stderr.isatty()
    (enable_progress_bars if visible else disable_progress_bars)()
    return examples.map(ids, batched=True, desc="Tokenising"), coverage
