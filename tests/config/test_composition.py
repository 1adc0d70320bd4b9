"""Every YAML file composes; impossible settings stop before anything runs."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli import CONF
from src.config import Config
from src.config.data import KlueSts
from src.config.schema import flatten
from src.data.shapes import SHAPES
from src.training.fine_tune import eval_interval
from src.training.losses import LOSSES
from src.utils.errors import UserError

GROUPS = sorted(path.relative_to(CONF) for path in CONF.glob("*/*.yaml") if path.parent.name != "suite")
"""Those of a training; suites are of evaluations."""
NEEDED = {
    "data/pairs.yaml": ["data.train=pairs.csv"],
    "data/mixture.yaml": ["++data.sets={sts: {train: sts.tsv}}"],
    "model/hub.yaml": ["model.path=."],
}


def test_conf_has_files_in_every_group() -> None:
    assert {path.parts[0] for path in GROUPS} >= {"data", "model", "loss", "trainer", "tracking", "experiment"}


@pytest.mark.parametrize("path", GROUPS, ids=str)
def test_every_yaml_composes(path: str, compose: Callable[..., Config]) -> None:
    group, option = path.parts[0], path.stem
    plus = "+" if group == "experiment" else ""
    places = ["tracking.uri=sqlite:///x.db"] if group == "tracking" else []
    config = compose(f"{plus}{group}={option}", *NEEDED.get(path.as_posix(), []), *places)
    assert isinstance(config, Config)


def test_review_sts_is_the_recipe_of_the_published_card(compose: Callable[..., Config]) -> None:
    config = compose("+experiment=review_sts")
    trainer = config.trainer
    recipe = (trainer.batch_size, trainer.epochs, trainer.learning_rate, trainer.warmup_ratio, trainer.max_grad_norm)
    assert recipe == (16, 1, 5e-5, 0.1, 1.0)
    assert (trainer.seed, eval_interval(trainer, 5371), config.model.max_length) == (42, 84, 128)
    assert (config.loss.name, SHAPES["scored"].losses[0]) == ("auto", "cosine_similarity")
    assert config.model.name == "e5_small_ko"
    assert isinstance(config.data, KlueSts)
    assert config.data.domain == "airbnb"


@pytest.mark.parametrize(
    "override",
    [
        "trainer.warmup_ratio=1.5",
        "trainer.warmup_ratio=-0.1",
        "trainer.eval_steps=0",
        "trainer.eval_steps=2.5",
        "trainer.save_steps=0",
        "trainer.eval_every_epochs=0",
        "trainer.save_every_epochs=-1",
        "trainer.learning_rate=-1e-5",
        "trainer.learning_rate=nan",
        "trainer.epochs=0",
        "trainer.batch_size=0",
        "trainer.max_steps=0",
        "trainer.precision=fp8",
        "trainer.seed=-1",
        "loss.name=mse",
        "data.sources=[]",
        "data.sources=[web]",
        "model.max_length=0",
        "model.dropout=1",
        "model=hub",
        "tracking.uri=file:///tmp/x",
    ],
)
def test_impossible_values_are_refused_by_name(override: str, compose: Callable[..., Config]) -> None:
    key = {"model=hub": "model.name"}.get(override, override.split("=")[0])
    with pytest.raises(UserError, match=key):
        compose(override)


@pytest.mark.parametrize("override", ["trainer.warmup=0.1", "trainer.epochs=many", "data=none", "+experiment=none"])
def test_unknown_keys_and_wrong_types_stop_composition(override: str, compose: Callable[..., Config]) -> None:
    with pytest.raises((HydraException, OmegaConfBaseException)):
        compose(override)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_can_be_chosen(name: str, compose: Callable[..., Config]) -> None:
    assert compose(f"loss={name}").loss.name == name


@pytest.mark.parametrize("name", ["eval", "save"])
def test_an_interval_in_steps_and_in_epochs_at_once_is_refused(name: str, compose: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=rf"{name}_steps and trainer\.{name}_every_epochs must not both be set"):
        compose(f"trainer.{name}_steps=10", f"trainer.{name}_every_epochs=0.5")


@pytest.mark.parametrize("name", ["eval", "save"])
def test_a_share_of_an_epoch_given_as_steps_is_answered_with_the_new_key(
    name: str, compose: Callable[..., Config]
) -> None:
    with pytest.raises(UserError, match=rf"found 0\.25: set trainer\.{name}_every_epochs=0\.25"):
        compose(f"trainer.{name}_steps=0.25")


EXPERIMENTS = sorted(CONF.glob("experiment/*.yaml"))


def test_there_are_experiments() -> None:
    assert len(EXPERIMENTS) >= 2


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_file_holds_only_differences_from_the_defaults(
    path: Path, compose: Callable[..., Config]
) -> None:
    settings = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(settings, dict)
    defaults = dict(flatten(asdict(compose())))
    given = dict(flatten({str(key): value for key, value in settings.items() if key != "defaults"}))
    assert given
    assert {name for name, value in given.items() if name in defaults and defaults[name] == value} == set()
