"""Fixtures that several parts of the tests share."""

import os
import runpy
import shutil
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as compose_config
from hydra import initialize_config_dir
from mlflow import MlflowClient

from src.config import Config, SweepSettings, register_schemas, to_config
from src.config.sweep import ConfirmConfig, SweepConfig
from src.entry import CONF


def pytest_configure() -> None:
    """Give each parallel test process a core of its own: two that use all cores slow each other down many times."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


@pytest.fixture(scope="session")
def tiny_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder: two layers of width 32 with random weights, one token for each character."""
    import torch
    from transformers import BertConfig, BertModel

    from src.encoder.bert import save_encoder
    from src.encoder.tokenizer import SPACE, SPECIALS, build_tokenizer

    hangul = [chr(code) for code in (*range(0x1100, 0x1200), *range(0xAC00, 0xD7A4))]
    pieces = [*SPECIALS, SPACE, *map(chr, range(0x21, 0x7F)), *hangul]
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bert = BertModel(config)
    folder = tmp_path_factory.mktemp("tiny_encoder")
    save_encoder(bert, build_tokenizer(pieces, [-1.0] * len(pieces)), folder)
    return folder


def write_pairs(path: Path) -> Path:
    """Write 40 scored pairs, made up for the tests, as CSV."""
    things, verdicts = ("방", "침대", "욕실", "주방", "동네"), ("좋아요", "나빠요", "조용해요", "넓어요")
    rows = ["sentence1,sentence2,score"]
    for number, thing in enumerate(things):
        for first, verdict in enumerate(verdicts):
            other = things[(number + 1) % len(things)]
            rows.append(f"{thing}이 {verdict},정말 {thing}이 {verdict} 그래요,{1 - first / 10}")
            rows.append(f"{thing}에 대해 {verdict},{other} 얘기는 안 해요 {verdict} {first},{first / 10}")
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    """A CSV file of 40 scored pairs."""
    return write_pairs(tmp_path / "pairs.csv")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs: making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def compose_in(empty_store: Path) -> Callable[..., Config]:
    """Compose conf/ with overrides; results and runs go below the folder given first."""
    register_schemas()

    def composed(folder: Path, *overrides: str) -> Config:
        if not (folder / "mlflow.db").exists():
            shutil.copy(empty_store, folder / "mlflow.db")
        places = (
            f"folder={folder}/result",
            f"tracking.uri=sqlite:///{folder}/mlflow.db",
            f"tracking.artifacts={folder}/artifacts",
        )
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return to_config(compose_config("config", overrides=[*places, *overrides]))

    return composed


@pytest.fixture
def compose(compose_in: Callable[..., Config], tmp_path: Path) -> Callable[..., Config]:
    """Compose conf/ with overrides; results and runs go below tmp_path."""
    return partial(compose_in, tmp_path)


@pytest.fixture(scope="session")
def tiny_config_in(compose_in: Callable[..., Config], tiny_encoder_folder: Path) -> Callable[..., Config]:
    """Compose a training of the tiny encoder on 40 pairs; everything lies below the folder given first."""

    def composed(folder: Path, *overrides: str) -> Config:
        pairs = write_pairs(folder / "pairs.csv")
        return compose_in(
            folder,
            "name=tiny",
            "data=pairs",
            f"data.train={pairs}",
            f"data.dev={pairs}",
            "model=hub",
            "model.name=tests/tiny",
            f"model.path={tiny_encoder_folder}",
            "trainer.batch_size=4",
            "trainer.eval_steps=3",
            "trainer.learning_rate=1e-3",
            "tracking.system_metrics=false",
            *overrides,
        )

    return composed


@pytest.fixture
def tiny_config(tiny_config_in: Callable[..., Config], tmp_path: Path) -> Callable[..., Config]:
    """Compose a training of the tiny encoder; everything lies below tmp_path."""
    return partial(tiny_config_in, tmp_path)


@pytest.fixture(scope="session")
def sweep_config_in(tiny_config_in: Callable[..., Config]) -> Callable[..., SweepSettings]:
    """Compose a sweep of the tiny encoder; everything lies below the folder given first."""

    def composed(folder: Path, *overrides: str, **sweep: Any) -> SweepSettings:
        space = {
            "trainer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "trainer.warmup_ratio": {"low": 0.0, "high": 0.4},
            "trainer.epochs": {"choices": [1, 2]},
        }
        settings = {"trials": 4, "space": space, "confirm": ConfirmConfig(top_k=2, seeds=2), "evaluations": 4, **sweep}
        config = tiny_config_in(folder, "trainer.precision=fp32", "trainer.threads=1", *overrides)
        return SweepSettings(**vars(config), sweep=SweepConfig(**settings))

    return composed


@pytest.fixture
def sweep_config(sweep_config_in: Callable[..., SweepSettings], tmp_path: Path) -> Callable[..., SweepSettings]:
    """Compose a sweep of the tiny encoder; everything lies below tmp_path."""
    return partial(sweep_config_in, tmp_path)


@pytest.fixture(scope="session")
def start_training(tiny_encoder_folder: Path) -> Callable[..., BaseProcess]:
    """Start `python -m src.train` on `pairs.csv` in a folder, forked from a process that has the libraries imported."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["src.train"])
    data = "name=tiny data=pairs data.train=pairs.csv data.dev=pairs.csv"
    recipe = "trainer.batch_size=4 trainer.eval_steps=2 trainer.learning_rate=1e-3 trainer.precision=fp32"
    line = f"{data} model=hub model.path={tiny_encoder_folder} {recipe} trainer.threads=1 tracking.system_metrics=false"

    def started(folder: Path, *overrides: str) -> BaseProcess:
        process = context.Process(target=runpy.run_module, args=("src.train",), kwargs={"run_name": "__main__"})
        with pytest.MonkeyPatch.context() as patch:  # the process takes both over
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["src/train.py", *line.split(), *overrides])
            process.start()
        return process

    return started
