"""Models of an evaluation: how each is loaded, and the sentences that it was trained on, if that is known."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from src.config import Config
from src.config.evaluation import BASE
from src.config.recorded import check_base, recorded_config
from src.config.tracking import TrackingConfig
from src.data.sentences import FILE as SENTENCES
from src.data.sentences import Digests, load_digests
from src.evaluation.result import RESULT_FILE
from src.prediction.encoder import MODEL_FILES, REGISTRY, SETTINGS, check_address, experiment_of, load_model
from src.utils.errors import UserError
from src.utils.files import path_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class SuiteModel:
    """A model of an evaluation."""

    name: str
    """Short name in tables."""
    reference: str
    """As on the command line."""
    load: Callable[[], "SentenceTransformer"]
    seen: Digests | None = None
    """Digests of the sentences that it was trained on, None if they are not known."""


def find_models(model: str, against: list[str], tracking: TrackingConfig) -> list[SuiteModel]:
    """Return the model and those to compare it with, none of which is loaded yet.

    Raises `UserError` if a folder is none of a model, or the base encoder of the model is not known.
    """
    found = [_find(reference, model, tracking) for reference in (model, *against)]
    names = [one.name for one in found]
    return [
        SuiteModel(one.name if names.count(one.name) == 1 else one.reference, one.reference, one.load, one.seen)
        for one in found
    ]


def _find(reference: str, model: str, tracking: TrackingConfig) -> SuiteModel:
    if reference == BASE and not Path(BASE).exists():
        return SuiteModel(BASE, f"{BASE} encoder of {model}", base_loader(model, tracking))
    key = "model" if reference == model else "against"
    check_address(reference, key)  # before the others are loaded
    seen = seen_by(reference, tracking)
    return SuiteModel(_short_name(reference), reference, lambda: load_model(reference, tracking.uri, key), seen)


def seen_by(model: str, tracking: TrackingConfig) -> Digests | None:
    """Return the digests of the sentences that a model was trained on, None if they are not known."""
    with _result_of(model, tracking, SENTENCES) as folder:
        return load_digests(folder) if folder else None


@contextmanager
def _result_of(model: str, tracking: TrackingConfig, file: str) -> Iterator[Path | None]:
    """Yield a folder with this file of a model's result, if it has it; None for a model without a known result."""
    if (experiment := experiment_of(model)) or not model.startswith(REGISTRY):
        yield experiment
        return
    from src.tracking import download_result  # imports mlflow, which takes seconds

    with TemporaryDirectory() as scratch:
        yield download_result(model, tracking.uri, Path(scratch), (file,))


def base_loader(model: str, tracking: TrackingConfig) -> Callable[[], "SentenceTransformer"]:
    """Return a function that loads the base encoder of a model, which must be an experiment or a registered version.

    Raises `UserError` if its settings are not known, or its base encoder was in a folder that is gone.
    """
    settings = settings_of(model, tracking)
    check_base(settings, model)

    def load() -> "SentenceTransformer":
        from sentence_transformers.util import get_device_name

        from src.encoder import load_encoder

        return load_encoder(settings.model).to(get_device_name())

    return load


def settings_of(model: str, tracking: TrackingConfig) -> Config:
    """Return the settings that a model was trained with, in its own folder; raise `UserError` if they are not known."""
    with _result_of(model, tracking, SETTINGS) as folder:
        if folder and (folder / SETTINGS).is_file():
            return recorded_config(folder / SETTINGS, folder, tracking)
    raise UserError(
        f"{model}: expected a folder of a finished experiment with {SETTINGS} and {RESULT_FILE}, or a version of"
        " models:/, whose settings name the base encoder, found neither: name the other model instead of base."
    )


def _short_name(reference: str) -> str:
    path = path_of(reference)
    if not path.is_dir():
        return reference.removeprefix(REGISTRY)
    path = path.resolve()
    is_model = path.name == "model" and any((path / name).is_file() for name in MODEL_FILES)
    return path.parent.name if is_model else path.name
