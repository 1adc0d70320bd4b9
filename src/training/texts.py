"""Check of the texts before a training run: what of them the encoder will see."""

import logging

from datasets import Dataset
from sentence_transformers import SentenceTransformer

from src.config.training import TrainerConfig
from src.encoder.coverage import TextCoverage
from src.encoder.inputs import default_prompt, transformer_of
from src.training.packing import COLUMNS, tokenize_counted
from src.utils.errors import UserError

MOST = 50_000
"""Pairs of a split that are counted, evenly spaced; 50,000 take about 3 seconds. Packed training pairs are all counted,
since they are tokenised anyway."""

log = logging.getLogger(__name__)


def check_texts(encoder: SentenceTransformer, splits: dict[str, Dataset | None], config: TrainerConfig) -> None:
    """Log the default prompt, and for each split the texts that are cut or that the tokenizer does not know.

    Raises `UserError` if the tokenizer knows next to nothing of `train`.
    """
    if prompt := default_prompt(encoder):
        log.info(f"  prompt before every text: {prompt!r}")
    for name, pairs in splits.items():
        if pairs is None:
            continue
        packed = name == "train" and config.batching == "packed" and transformer_of(encoder) is not None
        coverage = tokenize_counted(pairs, encoder)[1] if packed else _count(pairs, encoder)
        if name == "train" and coverage.nothing_known:
            raise UserError(
                "expected train texts that the tokenizer knows, found next to nothing but unknown tokens in"
                f" {coverage.unknown:,} of {coverage.texts:,} texts, such as {coverage.advice}."
            )
        for remark in coverage.remarks(name if coverage.texts == 2 * len(pairs) else f"{name}, a sample"):
            log.warning(f"  note: {remark}")


def _count(pairs: Dataset, encoder: SentenceTransformer) -> TextCoverage:
    coverage = TextCoverage(encoder)
    counted = pairs.select(range(0, len(pairs), -(-len(pairs) // MOST)))
    for batch in counted.select_columns(list(COLUMNS)).iter(1000):
        for column in COLUMNS:
            coverage(batch[column])
    return coverage
