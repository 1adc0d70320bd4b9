"""Losses by data: defaults, losses that do not fit, and those of the sets of a mixture."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import Dataset

from src.config import Config
from src.config.data import Mixture
from src.data import ExampleSet, load_examples
from src.data.shapes import SHAPES
from src.pipeline.losses import fitting_loss, losses_of, resolve_losses
from src.pipeline.recipe import recipe_of
from src.pipeline.state import fingerprint_of
from src.utils.errors import UserError

TinyConfig = Callable[..., Config]


@pytest.fixture
def scored(tiny_config: TinyConfig) -> ExampleSet:
    return load_examples(tiny_config().data)


@pytest.fixture
def mixed(scored: ExampleSet) -> ExampleSet:
    """A mixture of scored pairs, which lead, and triplets."""
    triplets = Dataset.from_dict({"anchor": ["a", "b"], "positive": ["c", "d"], "negative": ["e", "f"]})
    return replace(scored, name="sts", others=(replace(scored, train=triplets, dev=triplets, name="nli"),))


def mixture(config: Config, **nli: object) -> Config:
    path = config.data.train
    return replace(config, data=Mixture(sets={"nli": {"train": path, **nli}, "sts": {"train": path}}, primary="sts"))


@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_default_loss_is_the_first_of_the_shape_and_others_are_refused_by_name(shape: str) -> None:
    losses = SHAPES[shape].losses
    assert fitting_loss("auto", SHAPES[shape], "loss.name") == losses[0]
    assert [fitting_loss(name, SHAPES[shape], "loss.name") for name in losses] == list(losses)
    wrong = next(name for each in SHAPES.values() for name in each.losses if name not in losses)
    with pytest.raises(UserError, match=rf"loss\.name must be .*{losses[-1]}.* {shape} examples .* found '{wrong}'"):
        fitting_loss(wrong, SHAPES[shape], "loss.name")


def test_the_settings_of_scored_pairs_name_the_loss_of_earlier_versions(
    tiny_config: TinyConfig, scored: ExampleSet
) -> None:
    config = resolve_losses(tiny_config(), scored)
    assert config.loss.name == "cosine_similarity" and resolve_losses(config, scored) == config


def test_each_set_of_a_mixture_has_its_own_loss(tiny_config: TinyConfig, mixed: ExampleSet) -> None:
    config = resolve_losses(mixture(tiny_config("loss.scale=30")), mixed)
    losses = losses_of(config, mixed)
    assert {name: loss.name for name, loss in losses.items()} == {"sts": "cosine_similarity", "nli": "mnrl"}
    assert (losses["nli"].scale, losses["sts"].scale) == (30.0, 20.0)  # the option of a loss is for those that have it
    assert resolve_losses(config, mixed) == config
    named = resolve_losses(mixture(tiny_config(), loss={"name": "triplet", "margin": 0.2}), mixed)
    assert (losses_of(named, mixed)["nli"].name, losses_of(named, mixed)["nli"].margin) == ("triplet", 0.2)


def test_a_loss_that_does_not_fit_a_set_of_a_mixture_is_refused_with_its_key(
    tiny_config: TinyConfig, mixed: ExampleSet
) -> None:
    with pytest.raises(UserError, match=r"data\.sets\.nli\.loss must be auto or one of \['mnrl', 'triplet'\]"):
        resolve_losses(mixture(tiny_config(), loss="cosent"), mixed)
    with pytest.raises(UserError, match=r"data\.sets\.sts\.loss must be auto or one of \['cosine_similarity'"):
        resolve_losses(mixture(tiny_config("loss=mnrl")), mixed)


def test_the_recipe_of_a_mixture_depends_on_losses_and_weights_and_all_examples(
    tiny_config: TinyConfig, mixed: ExampleSet, tmp_path: Path
) -> None:
    def recipe(config: Config, examples: ExampleSet = mixed) -> str:
        resolved = resolve_losses(config, examples)
        return recipe_of(resolved, fingerprint_of(resolved, examples), examples.shape)

    first = recipe(mixture(tiny_config()))
    assert first.endswith("batch 4, tiny, nli mnrl, sts cosine_similarity, primary sts")
    moved = mixture(tiny_config())
    moved.data.sets["nli"]["train"] = "elsewhere.csv"
    assert recipe(moved) == first
    other = replace(mixed, others=(replace(mixed.others[0], train=mixed.others[0].train.select([0])),))
    different = {recipe(mixture(tiny_config(), weight=0.5)), recipe(mixture(tiny_config(), loss="triplet"))}
    assert len({first[:8], *(each[:8] for each in different), recipe(mixture(tiny_config()), other)[:8]}) == 4
