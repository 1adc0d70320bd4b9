"""Fixtures that several parts of the tests share."""

import importlib
import os
import runpy
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial, reduce, wraps
from itertools import count
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose as compose_config
from hydra import initialize_config_dir
from mlflow import MlflowClient

from src.cli import CONF
from src.config import Config, SweepSettings, register_schemas, to_config
from src.config.commands import ConfirmConfig, SweepConfig
from src.config.schema import GROUPLESS
from src.evaluation.metrics import RETRIEVAL, TRIPLET, at_dim, metrics_of
from src.evaluation.result import RUN_FILES, Result
from src.evaluation.statistics import Estimate
from src.utils.console import setup_logging

if TYPE_CHECKING:
    from tests.tracking.test_server import Server


def pytest_configure() -> None:
    """Send messages to the console as the commands do, and give each parallel test process a core of its own.

    Two processes that use all cores slow each other down many times.
    """
    setup_logging()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):  # not on macOS
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


@pytest.fixture
def new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a command that the test runs meet no schemas of another one, and no signal handlers stay after it."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    files = {f"{name}{end}.yaml" for name in GROUPLESS for end in ("", "_schema")}
    ours = {"schema", "data", "model", "tuned", "suite", *files}
    monkeypatch.setattr(store, "repo", {name: node for name, node in store.repo.items() if name not in ours})
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def tiny_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder: two layers of width 32 with random weights, one token for each character."""
    import torch
    from transformers import BertConfig, BertModel

    from src.encoder.embedded import save_encoder
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


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    """Make the result of a run on 40 pairs, or on 40 examples of another shape; keywords replace its values."""
    result = Result(
        experiment="tiny",
        run_id="run-1",
        model_version=None,
        data_source="files",
        data_note="",
        train_pairs=40,
        dev_pairs=40,
        evaluated_on="dev",
        evaluated_pairs=40,
        spearman_ceiling=1.0,
        base_model="tests/tiny",
        scores={},
        before=Estimate(0.5, 0.4, 0.6),
        validation_loss=0.1,
        steps=10,
        warmup_steps=1,
        precision="fp32",
        threads=1,
        device="cpu",
        startup_seconds=1.0,
        train_seconds=2.0,
        evaluation_seconds=0.5,
        pairs_per_second=20.0,
        peak_memory_mb=300.0,
    )

    def made(shape: str = "scored", dims: tuple[int, ...] = (), **values: Any) -> Result:
        scores = {metric.name: Estimate(0.8, 0.7, 0.9) for metric in metrics_of(shape, dims)}
        ceiling = 1.0 if shape == "scored" else None
        return replace(result, **{"shape": shape, "scores": scores, "spearman_ceiling": ceiling} | values)

    return made


def noisy_predictions(noise: float, shape: str = "scored", dims: tuple[int, ...] = ()) -> pd.DataFrame:
    """Return predictions for 120 pairs or queries: the more noise the worse, for fewer dimensions worse still."""
    random, scored = np.random.default_rng(int(noise * 1000)), shape == "scored"
    first, second = [f"방 {i}이 좋아요" for i in range(120)], [f"숙소 {i}" for i in range(120)]
    if shape in ("positives", "triplets"):
        return _noisy_queries(pd.DataFrame({"anchor": first, "positive": second}), noise, shape, dims, random)
    gold = np.random.default_rng(3).integers(0, 6, 120) / 5
    table = pd.DataFrame({"sentence1": first, "sentence2": second, "gold": gold if scored else gold.round()})
    table["predicted"] = table["gold"] + random.normal(0, noise, 120)
    cut = {at_dim("predicted", dim): table["predicted"] + random.normal(0, 1 / dim, 120) for dim in dims}
    return table.assign(**cut)


def _noisy_queries(
    table: pd.DataFrame, noise: float, shape: str, dims: tuple[int, ...], random: np.random.Generator
) -> pd.DataFrame:
    wrong = random.normal(0.5, 0.1, 120)
    table["predicted"] = 0.8 - np.abs(random.normal(0, noise / 2, 120))
    behind = np.maximum(wrong - table["predicted"], 0)
    table["rank"] = 1 + np.ceil(behind * 30).astype(int)
    table = table.assign(wrong=[f"창문 {i}" for i in range(120)], predicted_wrong=wrong, positives=1)
    for dim in (None, *dims):
        rank = table["rank"] if dim is None else table["rank"] + random.integers(0, 1 + 128 // dim, 120)
        values = [1 / np.log2(1 + rank), 1 / rank, 1.0 * (rank == 1), 1.0 * (rank <= 10), 2 - 1 * (rank > 1)]
        metrics = (*RETRIEVAL, TRIPLET) if shape == "triplets" else RETRIEVAL
        names = [each.predicted if dim is None else at_dim(each.predicted, dim) for each in metrics]
        table = table.assign(**dict(zip(names, values, strict=False)))
    return table.assign(triplets=2) if shape == "triplets" else table


@pytest.fixture
def make_run(make_result: Callable[..., Result], tmp_path: Path) -> Callable[..., Path]:
    """Write the files of a finished run with these predictions, or with noisy ones: the more noise the worse."""

    def made(
        name: str,
        predictions: pd.DataFrame | float,
        rate: str = "5e-05",
        seed: int = 42,
        shape: str = "scored",
        **values: Any,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        if not isinstance(predictions, pd.DataFrame):
            predictions = noisy_predictions(predictions, shape)
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        curve = pd.DataFrame({"epoch": [0.5, 1.0], "step": [4, 8], "training_loss": [0.2, 0.1]})
        curve = curve.assign(validation_loss=[0.2, 0.1], **{each.name: [0.7, 0.8] for each in metrics_of(shape)})
        curve.to_csv(folder / "curve.csv", index=False)
        trainer = f"trainer:\n  learning_rate: {rate}\n  seed: {seed}\n"
        (folder / "config.yaml").write_text(f"name: x\nfolder: {folder}\n{trainer}published: {{}}\n")
        make_result(shape, run_id=name, evaluated_pairs=len(predictions), **values).save(folder)
        return folder

    return made


@pytest.fixture
def register(make_run: Callable[..., Path], empty_store: Path, tmp_path: Path) -> Callable[..., str]:
    """Make a run as `make_run` does, in the store `mlflow.db` of tmp_path too, with a version of the model `tiny`."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    shutil.copy(empty_store, tmp_path / "mlflow.db")

    def registered(name: str, predictions: pd.DataFrame | float, uri: str = uri, **values: Any) -> str:
        folder, client = make_run(name, predictions, **values), MlflowClient(uri, registry_uri=uri)
        if (experiment := client.get_experiment_by_name("tiny")) is None:
            location = (tmp_path / "artifacts").as_uri() if uri.startswith("sqlite") else None
            client.create_experiment("tiny", artifact_location=location)
            client.create_registered_model("tiny")
            experiment = client.get_experiment_by_name("tiny")
        info = client.create_run(experiment.experiment_id, run_name=name, tags={"journal": name}).info
        for file in RUN_FILES:
            client.log_artifact(info.run_id, str(folder / file))
        client.set_terminated(info.run_id)
        return str(client.create_model_version("tiny", source=info.artifact_uri, run_id=info.run_id).version)

    return registered


def features_of(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the encoder's inputs from a packed batch, as `collect_features` of the trainer extracts them."""
    prefixes = [name.removesuffix("input_ids") for name in batch if name.endswith("_input_ids")]
    return [
        {name.removeprefix(prefix): values for name, values in batch.items() if name.startswith(prefix)}
        for prefix in prefixes
    ]


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


@pytest.fixture
def log_seed(make_run: Callable[..., Path], empty_store: Path, tmp_path: Path) -> Callable[..., str]:
    """Log a finished run of a recipe in mlflow.db below tmp_path, and return its id."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")

    def logged(
        recipe: str, seed: int, predictions: pd.DataFrame | float | None = None, name: str = "tiny", **given: Any
    ) -> str:
        known = client.get_experiment_by_name(name)
        location = (tmp_path / "artifacts" / name).as_uri()
        experiment = known.experiment_id if known else client.create_experiment(name, artifact_location=location)
        run_id = str(client.create_run(experiment, given.get("start_time"), {"recipe": recipe}).info.run_id)
        client.log_param(run_id, "trainer.seed", seed)
        if predictions is not None:
            folder = make_run(run_id, predictions, seed=seed)
            client.log_artifacts(run_id, str(folder))
            shutil.rmtree(folder)  # only the store has it
        client.set_terminated(run_id, given.get("status", "FINISHED"))
        return run_id

    return logged


@pytest.fixture(scope="module")
def server(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Server"]:
    """A running MLflow server with a store without runs."""
    from tests.tracking.test_server import Server

    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    server = Server(folder)
    server.start()
    yield server
    server.stop()


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


Signals = Iterable[tuple[str, int, int]]
"""Signals that a process sends to itself: a function as MODULE:NAME, the number of its call, and the signal."""


def train(signals: Signals) -> None:
    """Run `python -m src.train` in this process, which sends itself signals."""
    for place, number, sent in signals:
        module, _, name = place.partition(":")
        *classes, last = name.split(".")
        owner = reduce(getattr, classes, importlib.import_module(module))
        setattr(owner, last, _signalling(getattr(owner, last), number, sent))
    runpy.run_module("src.train", run_name="__main__")


def _signalling(function: Callable[..., Any], number: int, signal: int) -> Callable[..., Any]:
    calls = count(1)

    @wraps(function)
    def called(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), signal)
        return function(*arguments, **options)

    return called


@pytest.fixture(scope="session")
def start_training(tiny_encoder_folder: Path) -> Callable[..., BaseProcess]:
    """Start `python -m src.train` on `pairs.csv` in a folder, forked from a process that has the libraries imported.

    With `signals` it kills or interrupts itself.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["src.train"])
    data = "name=tiny data=pairs data.train=pairs.csv data.dev=pairs.csv"
    recipe = "trainer.batch_size=4 trainer.eval_steps=2 trainer.learning_rate=1e-3 trainer.precision=fp32"
    line = f"{data} model=hub model.path={tiny_encoder_folder} {recipe} trainer.threads=1 tracking.system_metrics=false"

    def started(folder: Path, *overrides: str, signals: Signals = ()) -> BaseProcess:
        process = context.Process(target=train, args=(signals,))
        with pytest.MonkeyPatch.context() as patch:  # the process takes both over
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["src/train.py", *line.split(), *overrides])
            process.start()
        return process

    return started
