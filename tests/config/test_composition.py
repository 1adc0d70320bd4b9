"""Every YAML file composes; what cannot be stops before anything runs."""

from collections.abc import Callable

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from src.config import Config
from src.config.data import KlueSts
from src.entry import CONF
from src.errors import UserError
from src.training.losses import LOSSES

GROUPS = sorted(path.relative_to(CONF) for path in CONF.glob("*/*.yaml"))
NEEDED = {
    "data/pairs.yaml": ["data.train=pairs.csv"],
    "model/hub.yaml": ["model.path=folder"],
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
    assert (trainer.seed, trainer.eval_steps, config.model.max_length) == (42, 0.25, 128)
    assert (config.loss.name, config.model.name) == ("cosine_similarity", "e5_small_ko")
    assert isinstance(config.data, KlueSts)
    assert config.data.domain == "airbnb"


@pytest.mark.parametrize(
    "override",
    [
        "trainer.warmup_ratio=1.5",
        "trainer.warmup_ratio=-0.1",
        "trainer.eval_steps=0",
        "trainer.eval_steps=2.5",
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
