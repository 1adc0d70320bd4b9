"""Settings of a training run that its encoder, examples and losses support."""

import logging
from dataclasses import replace

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router

from src.config.training import TrainerConfig
from src.data import ExampleSet
from src.data.shapes import text_columns
from src.encoder.inputs import transformer_of
from src.encoder.prompts import prompt_for
from src.training.losses import ExampleLoss
from src.utils.errors import UserError

log = logging.getLogger(__name__)


def check_losses(data: ExampleSet, losses: dict[str, ExampleLoss]) -> None:
    """Raise `UserError` if a set has several negatives for each anchor, and a loss that takes one."""
    for name, each in data.sets.items():
        negatives = len(text_columns(each.train.column_names)) - 2
        if losses[name].name == "triplet" and negatives > 1:
            raise UserError(
                f"loss=triplet: expected one negative for each anchor of {name}, found {negatives}: set loss=mnrl."
            )


def supported(
    config: TrainerConfig, encoder: SentenceTransformer, data: ExampleSet, losses: dict[str, ExampleLoss]
) -> TrainerConfig:
    """Return the settings without what the encoder or the library's own evaluation cannot do.

    Raises `UserError` if the encoder has several routes for texts, or no layers and a setting for them.
    """
    if any(isinstance(module, Router) for module in encoder):
        raise UserError(
            "expected an encoder with one way for all texts, found a Router, whose routes are trained with other kinds"
            " of data: set model.path to the folder of one of its routes, or choose another model."
        )
    answers = {prompt_for(encoder, name) for name in text_columns(data.dev.column_names) if name != "anchor"}
    if config.evaluation == "dataloader" and (data.others or losses[data.name].matryoshka_dims or len(answers) > 1):
        log.info(
            "  direct evaluation: that of sentence-transformers takes one set, one number of dimensions and one prompt"
            " for both sentences of a pair, or for positives and negatives"
        )
        config = replace(config, evaluation="direct")
    if transformer_of(encoder) is not None:
        return config
    if config.freeze_embeddings or config.layer_decay < 1:
        raise UserError(
            "trainer.freeze_embeddings and trainer.layer_decay need an encoder with layers, found"
            f" {type(encoder[0]).__name__} as its first module: leave them at false and 1."
        )
    if config.batching != "packed":
        return config
    log.info(f"  {type(encoder[0]).__name__} as the first module: batches of sentence-transformers, without speed-ups")
    return replace(config, batching="padded", used_rows=False, fast_dropout=False)
