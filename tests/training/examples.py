"""Small sets of examples of every shape, made up for the tests, and trainers on them."""

from pathlib import Path
from typing import Any

from datasets import Dataset
from sentence_transformers import SentenceTransformer

from src.config.training import LossConfig, TrainerConfig
from src.data import ExampleSet
from src.data.examples import Provenance
from src.training import Training, TrainingCallback, TrainingClock, fine_tune
from src.training.fine_tune import build_arguments
from src.training.losses import ExampleLoss, build_loss
from src.training.trainer import ExampleTrainer

NOWHERE = Provenance("made up", None, None, "ko", None)


def texts(word: str, count: int, every: int = 5) -> list[str]:
    """Return different texts of different lengths about a word."""
    return [f"{word}{' 정말' * (number % every)} 좋아요 {number}" for number in range(count)]


def make_set(shape: str, count: int = 24, name: str = "train", negatives: int = 1) -> ExampleSet:
    """Return a set of examples of this shape, the same ones for train and dev."""
    first, second = texts("방이", count), texts("넓은 방이", count, every=3)
    named = ["negative"] if negatives == 1 else [f"negative_{number + 1}" for number in range(negatives)]
    wrong = {column: texts(f"{column} 침대가", count, every=4) for column in named}
    columns: dict[str, dict[str, list[Any]]] = {
        "scored": {"sentence1": first, "sentence2": second, "score": [number % 7 / 6 for number in range(count)]},
        "labelled": {"sentence1": first, "sentence2": second, "label": [number % 2 for number in range(count)]},
        "positives": {"anchor": first, "positive": second},
        "triplets": {"anchor": first, "positive": second, **wrong},
    }
    examples = Dataset.from_dict(columns[shape])
    return ExampleSet(examples, examples, None, "files", NOWHERE, (), name)


def make_losses(encoder: SentenceTransformer, data: ExampleSet, *options: LossConfig) -> dict[str, ExampleLoss]:
    """Return these losses for the sets of the examples, or the default ones of their shapes."""
    chosen = options or [LossConfig(each.shape.losses[0]) for each in data.sets.values()]
    return {name: build_loss(encoder, loss) for name, loss in zip(data.sets, chosen, strict=True)}


def make_trainer(
    encoder: SentenceTransformer,
    data: ExampleSet,
    losses: dict[str, ExampleLoss],
    folder: Path,
    **settings: Any,
) -> ExampleTrainer:
    """Return a trainer in fp32 with these settings, outside a training run."""
    config = TrainerConfig(**{"precision": "fp32", "batch_size": 8, **settings})
    arguments = build_arguments(config, encoder, data, losses, folder)
    return ExampleTrainer(config, TrainingClock(), data, losses, model=encoder, args=arguments)


def train_on(
    encoder: SentenceTransformer,
    data: ExampleSet,
    folder: Path,
    *options: LossConfig,
    callbacks: tuple[TrainingCallback, ...] = (),
    **settings: Any,
) -> Training:
    """Train the encoder on these examples with fp32, one thread and these settings."""
    config = TrainerConfig(**{"precision": "fp32", "threads": 1, "batch_size": 8, "learning_rate": 1e-3, **settings})
    losses = make_losses(encoder, data, *options)
    return fine_tune(encoder, data, losses, config, folder, callbacks, TrainingClock())
