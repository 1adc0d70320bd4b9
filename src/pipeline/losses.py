"""Losses of the sets of examples: `auto` is the default of a set's shape, and a loss that does not fit is refused."""

from dataclasses import replace
from typing import TypeVar

from sentence_transformers import SentenceTransformer

from src.config import Config
from src.config.data import Mixture, given_loss
from src.config.training import AUTO, LossConfig
from src.data import ExampleSet, Shape
from src.training.losses import ExampleLoss, build_loss
from src.utils.errors import require

AnyConfig = TypeVar("AnyConfig", bound=Config)


def losses_of(config: Config, examples: ExampleSet) -> dict[str, LossConfig]:
    """Return the settings of the loss of each set by its name, the primary one first."""
    part_losses = config.part_losses
    return {name: part_losses.get(name, config.loss) for name in examples.sets}


def resolve_losses(config: AnyConfig, examples: ExampleSet) -> AnyConfig:
    """Return the settings with the default of the shape in place of the loss `auto`, in a mixture for each set.

    Raises `UserError` naming the losses that fit if one does not.
    """
    if not isinstance(config.data, Mixture):
        name = fitting_loss(config.loss.name, examples.shape, "loss.name")
        return replace(config, loss=replace(config.loss, name=name))
    names = {
        name: fitting_loss(loss.name, examples.sets[name].shape, f"data.sets.{name}.loss")
        for name, loss in config.part_losses.items()
    }
    sets = {
        name: {**given, "loss": given_loss(given) | {"name": names[name]}} for name, given in config.data.sets.items()
    }
    return replace(config, data=replace(config.data, sets=sets))


def fitting_loss(name: str, shape: Shape, key: str) -> str:
    """Return the name of the loss, `auto` is the default of the shape; raise `UserError` if it does not fit."""
    allowed = f"{AUTO} or one of {list(shape.losses)}, which fit {shape.name} examples ({', '.join(shape.texts)})"
    require(name in (AUTO, *shape.losses), key, allowed, name)
    return shape.losses[0] if name == AUTO else name


def build_losses(encoder: SentenceTransformer, config: Config, examples: ExampleSet) -> dict[str, ExampleLoss]:
    """Return the loss of each set by its name, multiplied by the weight of the set."""
    parts = config.data.parts() if isinstance(config.data, Mixture) else {}
    weights = {name: part.weight for name, part in parts.items()}
    return {
        name: build_loss(encoder, loss, weights.get(name, 1.0)) for name, loss in losses_of(config, examples).items()
    }
