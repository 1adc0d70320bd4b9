"""Result, card and run of a merged model, as of a training."""

from pathlib import Path

import pandas as pd
from sentence_transformers import SentenceTransformer

from src.config import Config
from src.data import ExampleSet
from src.data.sentences import Digests
from src.encoder import base_of, load_encoder
from src.evaluation.evaluate import paired_gain
from src.evaluation.result import Result
from src.pipeline.average import evaluate_base, summed_up
from src.pipeline.losses import build_losses
from src.pipeline.training import build_result, evaluate_reported, record_result
from src.report.card import describe_merge, finalize_model_card, init_model_card
from src.report.console import log_pages, log_summary
from src.report.files import CHOICE
from src.tracking import MERGE, run_tags, start_run
from src.utils.files import write_text


def record_merge(
    encoder: SentenceTransformer,
    config: Config,
    examples: ExampleSet,
    results: list[Result],
    curve: pd.DataFrame,
    seen: Digests | None,
    words: str,
    models: list[str],
    choice: pd.DataFrame | None,
) -> Result:
    """Evaluate the encoder, write it with its result into `config.folder`, record both in a run, return the result.

    `results`: of the trainings; `curve`: that of the first; `seen`: as in `record_result`; `words`: what the weights
    are the mean of; `choice`: what these were chosen by.
    """
    before, on_test = evaluate_base(load_encoder(config.model), config, examples)
    losses, base = build_losses(encoder, config, examples), base_of(config.model)
    tags = {"role": MERGE, "merge.models": " ".join(models), "merge.weights": words}
    with start_run(config, run_tags(config) | tags) as run:
        run.log_sources(examples, base)
        init_model_card(encoder, config.name, examples, base, config.selection)
        describe_merge(encoder, examples, {name: loss.module for name, loss in losses.items()}, words)
        after, training = evaluate_reported(encoder, examples, losses, config), summed_up(results, curve, before)
        finalize_model_card(encoder, training, examples, after.metrics)
        gain = paired_gain(on_test or before, after, config.trainer.seed)
        result = build_result(config, examples, base, training, after, gain, run.run_id)
        result = record_result(run, encoder, config, examples, result, training.curve, after, seen)
        if choice is not None:
            write_text(Path(config.folder) / CHOICE, choice.to_csv(float_format="%.6f"))
            run.log_files(Path(config.folder), [CHOICE])
    log_summary(result, config, run.behind)
    log_pages(run)
    return result
