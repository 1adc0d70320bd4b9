"""Check of the texts before a training run: what of them the encoder will see."""

import logging

from datasets import Dataset
from sentence_transformers import SentenceTransformer

from src.config.training import TrainerConfig
from src.data import ExampleSet
from src.data.shapes import text_columns
from src.encoder.coverage import TextCoverage
from src.encoder.inputs import transformer_of
from src.encoder.prompts import prompt_for
from src.packing.tokens import tokenize_counted
from src.utils.errors import UserError

MOST = 50_000
"""Examples of a split that are counted, evenly spaced; 50,000 pairs take about 3 seconds. Packed training examples are
all counted, since they are tokenised anyway."""

log = logging.getLogger(__name__)


def check_texts(encoder: SentenceTransformer, data: ExampleSet, config: TrainerConfig) -> None:
    """Log the prompts, and for each split of each set the texts that are cut or that the tokenizer does not know.

    Raises `UserError` if the tokenizer knows next to nothing of the texts to train on.
    """
    columns = {column for each in data.sets.values() for column in text_columns(each.train.column_names)}
    used = {prompt_for(encoder, column) for column in columns}
    if unused := [name for name, text in encoder.prompts.items() if text and text not in used]:
        log.warning(
            f"  note: the prompt(s) {', '.join(unused)} precede no column of these examples, which are"
            f" {', '.join(sorted(columns))}: model.column_prompts and model.default_prompt_name assign them"
        )
    packed = config.batching == "packed" and transformer_of(encoder) is not None
    for name, each in data.sets.items():
        prefix = f"{name}, " if data.others else ""
        _log_prompts(encoder, each.train, prefix)
        train = tokenize_counted(each.train, encoder)[1] if packed else _count(each.train, encoder)
        if train.nothing_known:
            raise UserError(
                f"expected {prefix}train texts that the tokenizer knows, found next to nothing but unknown tokens in"
                f" {train.unknown:,} of {train.texts:,} texts, such as {train.advice}."
            )
        _log_remarks(train, each.train, f"{prefix}train")
        for split, examples in each.splits.items():
            if split != "train":
                _log_remarks(_count(examples, encoder), examples, f"{prefix}{split}")


def _log_prompts(encoder: SentenceTransformer, examples: Dataset, prefix: str) -> None:
    prompts = {column: prompt_for(encoder, column) for column in text_columns(examples.column_names)}
    if len(set(prompts.values())) > 1:
        log.info(f"  {prefix}prompts: {', '.join(f'{prompt!r} before {name}' for name, prompt in prompts.items())}")
    elif prompt := next(iter(prompts.values())):
        log.info(f"  {prefix}prompt before every text: {prompt!r}")


def _log_remarks(coverage: TextCoverage, examples: Dataset, name: str) -> None:
    complete = coverage.texts == len(text_columns(examples.column_names)) * len(examples)
    for remark in coverage.remarks(name if complete else f"{name}, a sample"):
        log.warning(f"  note: {remark}")


def _count(examples: Dataset, encoder: SentenceTransformer) -> TextCoverage:
    coverage, columns = TextCoverage(encoder), text_columns(examples.column_names)
    counted = examples.select(range(0, len(examples), -(-len(examples) // MOST)))
    for batch in counted.select_columns(columns).iter(1000):
        for column in columns:
            coverage(batch[column], prompt_for(encoder, column))
    return coverage
