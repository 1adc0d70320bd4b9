"""Merged models, from settings to a result folder like that of a training."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from src.config import Config
from src.config.evaluation import AUTO, BASE, MergeConfig
from src.config.recorded import check_base
from src.data import ExampleSet, load_examples
from src.data.examples import unordered_digest
from src.data.sentences import Digests, trained_on
from src.evaluation.result import RESULT_FILE, Result, read_curve
from src.prediction.encoder import REGISTRY, SETTINGS, check_address, experiment_of, load_model
from src.suite.models import base_loader, seen_by, settings_of
from src.suite.sets import load_sets
from src.utils.console import log_to_file
from src.utils.errors import UserError
from src.utils.files import exclusive_lock, path_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from src.merging.weights import Choice

LOG_FILE = "train.log"

log = logging.getLogger(__name__)


def run_merge(config: MergeConfig) -> Result:
    """Write the merged model and its result into a folder of its own, record both in a run, and return the result.

    Raises `UserError` if a model is not known, cannot be merged, or was evaluated on other examples than are here.
    """
    folders = [_experiment(model) for model in config.model]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError(f"model={config.model}: expected different experiments, found one twice: name each once.")
    if config.base and not _is_own_base(config):
        check_address(config.base, "base")
    settings = settings_of(config.model[0], config.tracking)
    check_base(settings, config.model[0])  # the gain of the merged model is that over it
    name = config.name or f"{settings.name}_merged"
    folder = path_of(config.folder) if config.folder else folders[0].absolute().parent / name
    if folder.resolve() in [each.resolve() for each in folders]:
        raise UserError(f"{folder}: expected another folder than those of the models, found the same: set name=NAME.")
    settings = replace(settings, name=name, folder=str(folder), tracking=config.tracking)
    with exclusive_lock(folder):
        examples = load_examples(settings.data)
        results = [Result.load(each) for each in folders]
        _check_examples(folders[0], results[0], examples)
        return _merge(config, settings, examples, folders, results, read_curve(folders[0], results[0].metric.name))


def _experiment(model: str) -> Path:
    folder = experiment_of(model)
    if folder is None:
        raise UserError(
            f"model={model}: expected the folder of a finished experiment, with {SETTINGS} and {RESULT_FILE}, found"
            " none: train it first, or correct the name."
        )
    return folder


def _check_examples(folder: Path, result: Result, examples: ExampleSet) -> None:
    """Raise `UserError` unless the examples are those on which the model was evaluated."""
    if result.evaluated_digest not in ("", unordered_digest(examples.reported)):
        raise UserError(
            f"{folder}: expected the {result.evaluated_on} examples of its result ({result.data_source}), found others"
            f" ({examples.source}): restore the data, such as KLUE_STS_DIR."
        )


def _merge(
    config: MergeConfig,
    settings: Config,
    examples: ExampleSet,
    folders: list[Path],
    results: list[Result],
    curve: pd.DataFrame,
) -> Result:
    # these import torch, which takes seconds: mistakes are reported before that
    from src.encoder.averaging import average_encoders
    from src.merging.result import record_merge
    from src.training.precision import use_threads

    use_threads(config.threads)
    model = average_encoders([folder / "model" for folder in folders], [1.0] * len(folders))
    seen = _seen_by(config)
    encoder, words, choice = _weigh(model, config, examples, trained_on(examples) if seen is None else seen)
    with log_to_file(Path(settings.folder) / LOG_FILE):  # what is refused before leaves no file
        table = choice.table if choice else None
        if table is not None:
            log.info(f"\nLeading metrics by weight, on parts of train\n{table.round(4).to_string()}")
        log.info(f"The weights are {words}.")
        return record_merge(encoder, settings, examples, results, curve, seen, words, config.model, table)


def _seen_by(config: MergeConfig) -> Digests | None:
    """Return the digests of the sentences that the models, and a trained one as base, were trained on, if known."""
    trained = [config.base] if config.base and not _is_own_base(config) and _is_trained(config.base) else []
    found = [seen_by(model, config.tracking) for model in (*config.model, *trained)]
    known = [each for each in found if each is not None]
    return np.unique(np.concatenate(known)) if len(known) == len(found) else None


def _is_own_base(config: MergeConfig) -> bool:
    return config.base == BASE and not Path(BASE).exists()


def _is_trained(model: str) -> bool:
    return experiment_of(model) is not None or model.startswith(REGISTRY)


def _weigh(
    model: "SentenceTransformer", config: MergeConfig, examples: ExampleSet, seen: Digests
) -> tuple["SentenceTransformer", str, "Choice | None"]:
    """Return the merged encoder, its weights in words, and how they were chosen."""
    from src.merging.weights import OTHERS, choose_weight, merge, parts_to_choose_on
    from src.training.precision import choose_precision

    of_models = f"the mean of {' and '.join(config.model)}" if len(config.model) > 1 else config.model[0]
    if config.base is None:
        return model, of_models, None
    is_own = _is_own_base(config)
    load = base_loader(config.model[0], config.tracking) if is_own else None
    base = (load() if load else load_model(config.base, config.tracking.uri, "base")).to(model.device)
    base.max_seq_length = model.max_seq_length  # settings are those of the model
    choice, weight, remark = None, config.weight, ""
    if weight == AUTO:
        sets, left_out = load_sets(config.suite)
        for name, reason in left_out.items():
            log.warning(f"  note: {name} is left out: {reason}")
        parts = parts_to_choose_on(examples, sets, seen, config)
        choice = choose_weight(model, base, parts, choose_precision(config.precision), config)
        weight, names = choice.weight, ", ".join(part.name for part in parts[1:])
        remark = f", chosen by the {OTHERS} on parts of the train splits of {names}, with {config.keep:.0%} of the gain"
    of_base = "its base encoder" if is_own else config.base
    words = f"{weight:g} times those of {of_models} plus {1 - weight:g} times those of {of_base}{remark}"
    return merge(model, base, float(weight)), words, choice
