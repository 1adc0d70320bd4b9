"""Trainings with `tracking.champion=auto`: promotion at their end, and what happens if that fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from omegaconf import OmegaConf

import src.train
from src.config import Config
from src.config.tracking import TrackingConfig
from src.pipeline import promotion
from src.pipeline.reproduce import reproduce
from src.pipeline.seeds import seed_config
from src.pipeline.training import LOG_FILE
from src.prediction.encoder import load_model
from src.utils.errors import UserError

TinyConfig = Callable[..., Config]
FAST = ("trainer.precision=fp32", "trainer.max_steps=3")
AUTO = "tracking.champion=auto"


def champion(config: Config) -> str | None:
    model = MlflowClient(config.tracking.uri, registry_uri=config.tracking.uri).get_registered_model("tiny")
    return str(model.aliases["champion"]) if "champion" in model.aliases else None


def rows(config: Config) -> list[str]:
    """Return the rows about the champion in the summaries of a folder."""
    log = (Path(config.folder) / LOG_FILE).read_text(encoding="utf-8")
    return [line.removeprefix("champion").strip() for line in log.splitlines() if line.startswith("champion ")]


def test_a_first_training_becomes_champion_and_the_address_works(
    tiny_config: TinyConfig,
) -> None:
    src.train.run(tiny_config(*FAST))
    config = tiny_config(*FAST, AUTO, "trainer.seed=2")
    uri = config.tracking.uri
    assert not rows(config) and champion(config) is None
    with pytest.raises(UserError, match=r"models:/tiny@champion: expected .*alias champion not found"):
        load_model("models:/tiny@champion", uri)
    with pytest.raises(UserError, match=r"models:/tiny@champion: expected .*alias champion not found"):
        reproduce("models:/tiny@champion", uri)
    result = src.train.run(config)
    assert rows(config) == ["version 2 is champion: the first champion of tiny"]
    assert result.model_version == champion(config) == "2"
    ours, theirs = load_model(config.folder, uri), load_model("models:/tiny@champion", uri)
    assert (ours.encode("방이 좋아요") == theirs.encode("방이 좋아요")).all()
    assert reproduce("models:/tiny@champion", uri) == 0
    src.train.run(tiny_config(*FAST, AUTO, "trainer.seed=2", "trainer.resume=never"))
    assert rows(config)[1].startswith("version 3 stays a candidate: no significant difference, Spearman ")
    assert champion(config) == "2"


def test_of_several_seeds_the_first_ones_model_is_promoted_at_the_end(
    tiny_config: TinyConfig,
) -> None:
    config = tiny_config(*FAST, AUTO, "trainer.seeds=[1,2]")
    assert seed_config(config, 1).tracking.champion == "off"
    src.train.run(config)
    assert rows(config) == ["version 1 is champion: the first champion of tiny"]
    assert not rows(seed_config(config, 1))
    assert champion(config) == "1"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("expected runs evaluated on the same pairs."), "not compared, expected runs evaluated on the same"),
        (
            RuntimeError("of http://me:S3CR3T@host"),
            "not compared, RuntimeError: of http://host; run python -m src.prom",
        ),
    ],
)
def test_a_training_succeeds_if_its_promotion_does_not(
    error: Exception,
    said: str,
    tiny_config: TinyConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr(promotion, "promote", failing)
    config = tiny_config(*FAST, AUTO)
    assert src.train.run(config).model_version == "1"
    (shown,) = rows(config)
    assert shown.startswith(said) and f"run python -m src.promote {config.folder}" in shown


def test_a_training_ahead_of_its_tracking_is_promoted_later(tiny_config: TinyConfig) -> None:
    config = tiny_config(*FAST, AUTO, "tracking.uri=http://127.0.0.1:9")
    src.train.run(config)
    (shown,) = rows(config)
    assert shown.startswith("not compared, since tracking is behind: once it is sent, run python -m src.promote")


def test_off_in_a_file_needs_no_quotes() -> None:
    config = OmegaConf.merge(OmegaConf.structured(TrackingConfig), OmegaConf.create("champion: off"))
    assert OmegaConf.to_object(config) == TrackingConfig()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"champion": "yes"}, "tracking.champion must be off or auto, found 'yes'"),
        ({"register": False}, "tracking.champion must be off without tracking.models and tracking.register, found"),
        ({"models": False}, "tracking.champion must be off without tracking.models and tracking.register, found"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        TrackingConfig(**{"champion": "auto", **settings})
    assert str(refused.value).startswith(said)
