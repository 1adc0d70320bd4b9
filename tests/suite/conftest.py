"""A trained tiny model, and sets of all shapes on which it is evaluated."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from src.config import Config
from src.config.evaluation import EvaluateConfig, SuiteConfig
from src.config.tracking import TrackingConfig
from src.data import load_examples
from src.pipeline import run_experiment


@pytest.fixture(scope="session")
def trained(tiny_config_in: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The settings of a finished training of the tiny encoder, whose result lies in their folder."""
    folder = tmp_path_factory.mktemp("trained")
    config = tiny_config_in(folder, "trainer.learning_rate=1e-2", "trainer.epochs=3", "trainer.eval_steps=30")
    run_experiment(config, load_examples(config.data))
    return config


@pytest.fixture
def sets(tmp_path: Path) -> list[object]:
    """A file of scored pairs that share sentences with the training, one of labels, and one of triplets."""
    things, verdicts = ("창문", "침대", "욕조", "부엌", "마당", "계단"), ("좋아요", "나빠요", "조용해요", "낡았어요")
    said = [f"{thing} {verdict}" for thing in things for verdict in verdicts]
    scored = [f"{one},{other},{(i % 6) / 5}" for i, (one, other) in enumerate(pairwise(said))]
    scored.append("방이 좋아요,정말 방이 좋아요 그래요,1.0")
    labelled = [f"{one},{other},{i % 2}" for i, (one, other) in enumerate(zip(said, said[2:], strict=False))]
    triplets = [f"{one},{one} 정말,{other} 정말" for one, other in zip(said, said[3:], strict=False)]
    for name, header, rows in (
        ("scored", "sentence1,sentence2,score", scored),
        ("labelled", "sentence1,sentence2,label", labelled),
        ("triplets", "anchor,positive,negative", triplets),
    ):
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]), "utf-8")
    return [f"{tmp_path}/scored.csv", {"name": "nli", "dev": f"{tmp_path}/labelled.csv"}, f"{tmp_path}/triplets.csv"]


@pytest.fixture
def settings(trained: Config) -> Callable[..., EvaluateConfig]:
    """Settings of an evaluation of the trained model; keywords replace them."""

    def made(sets: list[object], **values: object) -> EvaluateConfig:
        tracking = TrackingConfig(uri=trained.tracking.uri, artifacts=trained.tracking.artifacts)
        defaults = {"model": trained.folder, "against": "base", "threads": 1, "tracking": tracking}
        return EvaluateConfig(suite=SuiteConfig(sets=sets), **(defaults | values))

    return made
