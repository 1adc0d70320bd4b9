"""MLflow servers with runs of this project: the UI in Chromium, a served model over HTTP.

UI_SCREENSHOTS=FOLDER in the environment keeps the screenshots.
"""

import json
import os
import re
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

import src.export
import src.train
from src.cli import CONF
from src.compare import run as compare
from src.config import Config
from src.config.export import ExportConfig, ExportOptions
from src.evaluation.metrics import SPEARMAN
from src.evaluation.result import Result
from src.tracking.links import LOCAL

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

TinyConfig = Callable[..., Config]
PROGRAMS = Path(sys.executable).parent
CHROMIUM = "/usr/bin/chromium"
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS = [*QUIET.split(), "--disable-component-update", "--disable-sync"]
SENTENCES = ["방이 넓고 조용해요", "호스트가 친절합니다", "방이 넓고 조용해요."]


class Trained(NamedTuple):
    """Finished trainings with their store below `folder`, as in a checkout."""

    folder: Path
    port: int
    """Port for the UI, whose address the trainings have printed."""
    configs: dict[str, Config]
    """By folder: two trainings, of which the second became champion, and one with three seeds."""
    results: dict[str, Result]

    @property
    def uri(self) -> str:
        return self.configs["first"].tracking.uri

    def link(self, run: str, name: str) -> str:
        """Return the last address that a training has printed under a name, and so written into its log."""
        log = (Path(self.configs[run].folder) / "train.log").read_text(encoding="utf-8")
        return re.findall(rf"^ +{name} +(http\S+)$", log, re.MULTILINE)[-1]

    def shown(self, run: str) -> str:
        """Return the beginning of the Spearman of a training."""
        return str(self.results[run].leading.value)[:7]


@pytest.fixture(scope="module")
def trained(tiny_config_in: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    (folder / "mlruns").mkdir()
    changes = {
        "first": ["trainer.learning_rate=1e-3", "tracking.run_name='lr 1e-03'"],
        "second": ["trainer.learning_rate=5e-3", "tracking.run_name='lr 5e-03'", "tracking.champion=auto"],
        "seeds": ["trainer.learning_rate=3e-3", "trainer.seeds=[42,43,44]"],
    }
    configs = {
        name: tiny_config_in(
            folder / "mlruns", f"folder={folder}/{name}", f"tracking.ui=http://127.0.0.1:{port}", *overrides
        )
        for name, overrides in changes.items()
    }
    return Trained(folder, port, configs, {name: src.train.run(config) for name, config in configs.items()})


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def serving(line: list[str], port: int, folder: Path, path: str, store: str = "") -> Iterator[str]:
    """Run a server for the duration of the block; yield its address once it answers at `path`."""
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": store}
    environment["PYTHONPATH"] = str(CONF.parent)
    environment["PATH"] = f"{PROGRAMS}:{os.environ['PATH']}"  # MLflow starts uvicorn by name
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            line, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
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
    model, port = f"models:/tiny/{trained.results['second'].model_version}", free_port()
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    line = [str(PROGRAMS / "mlflow"), "models", "serve", "--model-uri", model, *options]
    with serving(line, port, trained.folder, "/ping", trained.uri) as address:
        body = json.dumps({"inputs": SENTENCES}).encode()
        request = Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as reply:
            served = np.array(json.load(reply)["predictions"])
    expected = SentenceTransformer(str(trained.folder / "second" / "model"), device="cpu").encode(SENTENCES)
    assert served.shape == expected.shape == (3, 32)
    np.testing.assert_allclose(served, expected, atol=1e-6)


@pytest.mark.serve
@pytest.mark.parametrize("kind", ["runs:/{run}/export/onnx-fp32", "models:/tiny/{version}/export/onnx-fp32"])
def test_a_served_export_returns_the_embeddings_of_token_ids(kind: str, trained: Trained) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    config, result = trained.configs["second"], trained.results["second"]
    if not (Path(config.folder) / "export").exists():
        src.export.run(
            ExportConfig(model=config.folder, tracking=config.tracking, export=ExportOptions(tolerance=1), threads=1)
        )
    model, port = kind.format(run=result.run_id, version=result.model_version), free_port()
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    line = [str(PROGRAMS / "mlflow"), "models", "serve", "--model-uri", model, *options]
    encoder = SentenceTransformer(str(trained.folder / "second" / "model"), device="cpu")
    features = encoder.preprocess(SENTENCES)
    inputs = {name: features[name].tolist() for name in ("input_ids", "attention_mask")}
    with serving(line, port, trained.folder, "/ping", trained.uri) as address:
        body = json.dumps({"inputs": inputs}).encode()
        request = Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as reply:
            served = np.array(json.load(reply)["predictions"]["sentence_embedding"])
    np.testing.assert_allclose(served, encoder.encode(SENTENCES), atol=1e-5)


@pytest.fixture(scope="module")
def ui(trained: Trained) -> Iterator[str]:
    """The address of the UI that `make ui` starts in a folder with the store."""
    makefile = str(CONF.parent / "Makefile")
    line = ["make", "--file", makefile, "--assume-old", "setup", "ui", f"BIN={PROGRAMS}", f"PORT={trained.port}"]
    with serving(line, trained.port, trained.folder, "/health") as address:
        while "Ctrl-C ends it" not in (trained.folder / "server.log").read_text(encoding="utf-8"):
            time.sleep(0.2)  # the addresses are printed once the server answers
        yield address


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(os.environ.get("UI_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
        yield browser


@pytest.fixture
def page(ui: str, browser: "Browser") -> Iterator["Page"]:
    """A page of a browser that has never been here; all its requests go to the server under test."""
    hosts = set()
    with browser.new_context(viewport={"width": 1500, "height": 800}) as profile:
        page = profile.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        yield page
    assert hosts == {ui.removeprefix("http://")}


CELLS = """row => [...row.querySelectorAll(".ag-cell")]
    .sort((one, other) => one.getAttribute("aria-colindex") - other.getAttribute("aria-colindex"))
    .map(cell => cell.innerText).join(" ")"""
"""The text of a row from left to right; the document may have its cells in another order."""


def rows(page: "Page") -> dict[str, str]:
    """Return the rows of a list, from top to bottom: the text in its fixed columns, and that of the others in view."""
    fixed, others = (
        {
            int(str(row.get_attribute("row-index"))): " ".join(row.evaluate(CELLS).split())
            for row in page.locator(f".ag-{part}-cols-container .ag-row").all()
        }
        for part in ("pinned-left", "center")
    )
    return {text: others[index] for index, text in sorted(fixed.items())}


def columns(page: "Page") -> set[str]:
    """Return the titles of the columns in view."""
    return {title.strip() for title in page.locator(".ag-header-cell").all_inner_texts()}


@pytest.mark.browser
def test_the_link_in_a_summary_opens_the_list_of_runs_with_scores(page: "Page", trained: Trained, shots: Path) -> None:
    page.goto(trained.link("second", "runs"))
    page.get_by_text(trained.shown("first")).first.wait_for()
    page.screenshot(path=shots / "runs.png")
    assert {"Run Name", SPEARMAN, f"{SPEARMAN}_low"} <= columns(page)
    listed = rows(page)
    for run, name in (("first", "lr 1e-03"), ("second", "lr 5e-03")):
        (scores,) = [scores for text, scores in listed.items() if name in text]
        assert scores.startswith(trained.shown(run))
    assert list(listed.values()) == sorted(listed.values(), reverse=True) and len(listed) == 6


@pytest.mark.browser
def test_grouped_by_recipe_three_seeds_are_one_row_with_their_mean(page: "Page", trained: Trained, shots: Path) -> None:
    summary = trained.results["seeds"].seeds
    assert summary
    page.goto(trained.link("seeds", "runs"))
    page.get_by_text(str(summary.means[SPEARMAN].value)[:7]).first.wait_for()
    page.screenshot(path=shots / "recipes.png")
    groups = {text: scores for text, scores in rows(page).items() if "Group: " in text}
    (seeds,) = [text for text in groups if "lr 0.003, warmup 0.1, 1 epoch" in text]
    assert len(groups) == 3
    assert seeds.split()[-2:] == ["3", "-"]
    assert groups[seeds].startswith(str(summary.means[SPEARMAN].value)[:7])


@pytest.mark.browser
def test_the_models_of_an_experiment_are_shown_with_scores(page: "Page", trained: Trained, shots: Path) -> None:
    scores = {f"{result.leading.value:.2f}" for result in trained.results.values()}
    link = printed_by_make(trained)["models"]
    page.goto(link)
    page.locator(".barlayer .point").first.wait_for()
    page.screenshot(path=shots / "models.png")
    assert scores <= set(page.locator(".barlayer").first.locator("text").all_text_contents())
    page.set_viewport_size({"width": 2600, "height": 800})
    page.goto(link.replace("CHART", "TABLE"))
    page.get_by_text(trained.shown("second")).first.wait_for()
    assert SPEARMAN in columns(page)


def printed_by_make(trained: Trained) -> dict[str, str]:
    """Return the addresses that `make ui` has printed for the experiment."""
    lines = (trained.folder / "server.log").read_text(encoding="utf-8").splitlines()
    assert "tiny" in lines
    return dict(line.split() for line in lines if line.startswith("  "))


@pytest.mark.browser
def test_two_runs_compared_show_both_curves_from_step_0(
    page: "Page", trained: Trained, ui: str, shots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare([str(trained.folder / name) for name in ("first", "second")], trained.uri)
    (link,) = re.findall(r"^  curves  (http\S+)$", capsys.readouterr().out, re.MULTILINE)
    page.goto(link.replace(LOCAL, ui))
    page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()
    for name in ("lr 1e-03", "lr 5e-03"):
        page.get_by_text(f"{name} ({SPEARMAN})").first.wait_for()
    page.locator(".scatterlayer .trace").nth(1).wait_for()
    page.screenshot(path=shots / "curves.png")
    curves = page.evaluate("document.querySelector('.js-plotly-plot').data.map(each => [each.name, each.x, each.y])")
    assert {name: (steps[0], values[0]) for name, steps, values in curves} == {
        "lr 1e-03": (0, trained.results["first"].before.value),
        "lr 5e-03": (0, trained.results["second"].before.value),
    }


@pytest.mark.browser
def test_the_page_of_the_champion_says_why_it_is_champion(page: "Page", trained: Trained, shots: Path) -> None:
    client = MlflowClient(trained.uri)
    described = client.get_model_version_by_alias("tiny", "champion").description
    page.goto(trained.link("second", "version"))
    page.get_by_text("Source Run").wait_for()
    page.get_by_text("Champion since").first.wait_for()
    page.screenshot(path=shots / "version.png")
    shown = " ".join(page.locator("body").inner_text().split())
    assert f"{trained.results['second'].leading.value:.4f}" in shown
    assert described.split(": ")[-1] in shown
    assert "Aliases : @ champion" in shown


@pytest.mark.browser
def test_the_link_to_a_run_opens_its_page(page: "Page", trained: Trained, shots: Path) -> None:
    page.goto(trained.link("first", "run"))
    page.get_by_text(trained.results["first"].run_id).first.wait_for()
    page.screenshot(path=shots / "run.png")
    assert page.get_by_role("heading").filter(has_text="lr 1e-03").count() == 1
