"""What is exported: the encoder that `model=` names, the examples to compare on, and the run to record it in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from datasets import Dataset
from sentence_transformers import SentenceTransformer

from src.config.export import ExportConfig
from src.config.recorded import recorded_config
from src.data import load_examples, shape_of
from src.data.examples import unordered_digest
from src.data.shapes import SHAPES
from src.encoder.folder import folder_digest
from src.evaluation.names import by_dimension
from src.evaluation.result import RESULT_FILE, RUN_FILES, Result
from src.exporting.place import no_examples
from src.prediction.encoder import REGISTRY, SETTINGS, experiment_of, load_model, model_folder
from src.report.words import WORDS
from src.utils.errors import UserError, shorten
from src.utils.files import path_of

SEED = 42
"""Seed of the bootstrap for a model without an experiment."""


@dataclass(frozen=True)
class Evaluated:
    """Examples on which both encoders are evaluated."""

    examples: Dataset
    name: str
    """Where they come from, in words."""
    seed: int = SEED
    """Seed of the bootstrap."""
    dims: tuple[int, ...] = ()
    """Numbers of dimensions of a Matryoshka training."""

    @property
    def unit(self) -> str:
        """What the examples are called."""
        return WORDS[shape_of(self.examples).name].unit


@dataclass(frozen=True)
class Source:
    """A model to export."""

    encoder: SentenceTransformer
    evaluated: Evaluated
    experiment: Path | None
    """Folder of its experiment, if there is one."""
    result: Result | None
    """Result of its run, if it is known."""
    digest: str
    """Digest of its files, empty if they are in no folder of this machine."""


@contextmanager
def open_source(config: ExportConfig) -> Iterator[Source]:
    """Yield what `config` names.

    Raises `UserError` if there is no such model, or nothing to compare it on.
    """
    experiment = experiment_of(config.model)
    with TemporaryDirectory() as scratch:
        folder = experiment or _downloaded(config, Path(scratch))
        result = Result.load(folder) if folder else None
        evaluated = _evaluated(config, folder, result)
        encoder = load_model(config.model, config.tracking.uri).cpu()
        digest = ""
        if path_of(config.model).is_dir():
            with model_folder(config.model, config.tracking.uri) as files:
                digest = folder_digest(files)
        yield Source(encoder, evaluated, experiment, result, digest)


def _downloaded(config: ExportConfig, scratch: Path) -> Path | None:
    """Return a folder with the files of the run of a registered model, None for another model."""
    if not config.model.startswith(REGISTRY):
        return None
    from src.tracking import download_result  # imports mlflow, which takes seconds

    folder = download_result(config.model, config.tracking.uri, scratch, RUN_FILES)
    return folder if (folder / RESULT_FILE).is_file() else None


def _evaluated(config: ExportConfig, folder: Path | None, result: Result | None) -> Evaluated:
    if config.data.dev:
        given = load_examples(replace(config.data, train=config.data.dev))
        return Evaluated(given.dev, config.data.dev)
    if folder is None or result is None:
        raise no_examples(config.model)
    settings = recorded_config(folder / SETTINGS, folder, config.tracking)
    dims = tuple(by_dimension(result.metric.name, result.scores))
    name = f"{result.evaluated_on} ({result.data_source})"
    if result.metric.of_similarities:
        return Evaluated(_predicted(folder, result), name, settings.trainer.seed, dims)
    examples = load_examples(settings.data).reported
    if result.evaluated_digest not in ("", unordered_digest(examples)):
        raise UserError(
            f"{config.model}: expected the {result.evaluated_pairs:,} examples on which it was evaluated, found others"
            f" ({len(examples):,}): restore them, or set data.dev=FILE."
        )
    return Evaluated(examples, name, settings.trainer.seed, dims)


def _predicted(folder: Path, result: Result) -> Dataset:
    """Return the evaluated pairs, which predictions.parquet contains."""
    path, shape = folder / "predictions.parquet", SHAPES[result.shape]
    try:
        table = pd.read_parquet(path).rename(columns={"gold": shape.label})[list(shape.columns)]
        table = table.astype(dict.fromkeys(shape.texts, str) | {str(shape.label): "float64"}).dropna()
        if len(table) != result.evaluated_pairs:
            raise ValueError(f"{len(table):,} of {result.evaluated_pairs:,}")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: expected the evaluated pairs, found {shorten(error)}: train it again.") from error
    return Dataset.from_pandas(table, preserve_index=False)
