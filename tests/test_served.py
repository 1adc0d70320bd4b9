"""MLflow servers with runs of this project: the UI in Chromium, a served model over HTTP.

UI_SCREENSHOTS=FOLDER in the environment keeps the screenshots.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from mlflow import MlflowClient
from sentence_transformers import SentenceTransformer

import src.train
from src.cli import CONF
from src.config import Config
from src.evaluation.result import Result

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

TinyConfig = Callable[..., Config]
PROGRAMS = Path(sys.executable).parent
CHROMIUM = "/usr/bin/chromium"
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS = [*QUIET.split(), "--disable-component-update", "--disable-sync"]
SENTENCES = ["방이 넓고 조용해요", "호스트가 친절합니다", "방이 넓고 조용해요."]


class Trained(NamedTuple):
    """Two finished trainings with their store below `folder`, as in a checkout."""

    folder: Path
    config: Config
    results: list[Result]


@pytest.fixture(scope="module")
def trained(tiny_config_in: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("served")
    (folder / "mlruns").mkdir()
    configs = [tiny_config_in(folder / "mlruns", f"trainer.learning_rate={rate}") for rate in ("1e-3", "5e-3")]
    return Trained(folder, configs[1], [src.train.run(config) for config in configs])


@contextmanager
def serving(line: Callable[[int], list[str]], folder: Path, path: str, store: str = "") -> Iterator[str]:
    """Run a server on a free port for the duration of the block; yield its address once it answers at `path`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": store}
    environment["PATH"] = f"{PROGRAMS}:{os.environ['PATH']}"  # MLflow starts uvicorn by name
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            line(port), cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while not responds(address + path):
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def responds(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


@pytest.mark.serve
def test_a_served_model_returns_the_embeddings_of_the_library(trained: Trained) -> None:
    model = f"models:/tiny/{trained.results[1].model_version}"

    def line(port: int) -> list[str]:
        options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
        return [str(PROGRAMS / "mlflow"), "models", "serve", "--model-uri", model, *options]

    with serving(line, trained.folder, "/ping", trained.config.tracking.uri) as address:
        body = json.dumps({"inputs": SENTENCES}).encode()
        request = Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as reply:
            served = np.array(json.load(reply)["predictions"])
    folder = Path(trained.config.folder)
    expected = SentenceTransformer(str(folder / "model"), device="cpu").encode(SENTENCES)
    assert served.shape == expected.shape == (3, 32)
    np.testing.assert_allclose(served, expected, atol=1e-6)


@pytest.fixture(scope="module")
def ui(trained: Trained) -> Iterator[str]:
    """The address of the UI that `make ui` starts in a folder with the store."""

    def line(port: int) -> list[str]:
        makefile = str(CONF.parent / "Makefile")
        return ["make", "--file", makefile, "--assume-old", "setup", "ui", f"BIN={PROGRAMS}", f"PORT={port}"]

    with serving(line, trained.folder, "/health") as address:
        yield address


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(os.environ.get("UI_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))


@pytest.fixture(scope="module")
def page(ui: str) -> Iterator["Page"]:
    """The page with the experiment's runs, reached by clicks; all its requests go to the server under test."""
    from playwright.sync_api import sync_playwright

    hosts = set()
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
        page = browser.new_page(viewport={"width": 1500, "height": 800})
        page.set_default_timeout(60_000)
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        page.goto(ui)
        page.get_by_text("Model training", exact=True).click()
        page.goto(f"{ui}/#/experiments")
        page.get_by_role("link", name="tiny").first.click()
        show_scores(page)
        for label in ("Close", "Hide banner"):  # the assistant and a hint cover the columns
            page.get_by_role("button", name=label, exact=True).click()
        yield page
    assert hosts == {ui.removeprefix("http://")}


def show_scores(page: "Page") -> None:
    """Choose the view `Scores` of the list; try twice, since the list sometimes keeps its former columns."""
    from playwright.sync_api import TimeoutError as NotShown

    column = page.locator(".ag-header-cell", has_text="spearman_cosine")
    choose_scores(page)
    try:
        column.wait_for(timeout=15_000)
    except NotShown:
        page.reload()
        choose_scores(page)
        column.wait_for()


def choose_scores(page: "Page") -> None:
    page.locator(".ag-row").first.wait_for()  # a list that is still loading can reset its columns
    page.get_by_test_id("saved-views-trigger").click()
    page.get_by_role("menuitem", name="Scores").click()


@pytest.mark.browser
def test_the_experiment_lists_runs_with_spearman_and_base_model(page: "Page", trained: Trained, shots: Path) -> None:
    for result in trained.results:
        page.get_by_text(str(result.spearman.value)[:8]).first.wait_for()
    page.screenshot(path=shots / "runs.png")
    columns = page.locator(".ag-header-cell").all_inner_texts()
    assert {"spearman_cosine", "model.base"} <= {column.strip() for column in columns}
    assert page.get_by_text("tests/tiny", exact=True).count() == 2


@pytest.mark.browser
def test_two_runs_compared_show_both_curves(page: "Page", trained: Trained, ui: str, shots: Path) -> None:
    for box in page.locator(".ag-row .ag-selection-checkbox input").all():
        box.check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()
    page.get_by_role("link", name="spearman_cosine", exact=True).click()
    page.locator(".scatterlayer .trace").nth(1).wait_for()
    client = MlflowClient(trained.config.tracking.uri)
    for result in trained.results:
        name = client.get_run(result.run_id).info.run_name
        page.get_by_text(f"{name} (spearman_cosine)").first.wait_for()
    page.screenshot(path=shots / "curves.png")


@pytest.mark.browser
def test_the_registered_model_shows_its_version_with_metrics(
    page: "Page", trained: Trained, ui: str, shots: Path
) -> None:
    score = f"{trained.results[1].spearman.value:.4f}"
    page.goto(f"{ui}/#/models/tiny")
    page.get_by_text("spearman_cosine").first.wait_for()
    page.screenshot(path=shots / "model.png")
    page.get_by_role("link", name="Version 2").first.click()
    page.get_by_text("Source Run").wait_for()
    page.get_by_text(score).first.wait_for()
    page.screenshot(path=shots / "version.png")
