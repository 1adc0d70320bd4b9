"""Page of a champion in the MLflow UI, seen with Chromium.

UI_SCREENSHOTS=FOLDER in the environment keeps the screenshots.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from src.comparison.champion import promote
from tests.test_served import CHROMIUM, FLAGS, free_port, serving

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def test_the_pages_of_champion_and_former_champion_say_why(
    register: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from playwright.sync_api import sync_playwright

    monkeypatch.chdir(tmp_path)
    shots, uri = Path(os.environ.get("UI_SCREENSHOTS") or tmp_path), f"sqlite:///{tmp_path}/mlflow.db"
    for name, noise in (("noisy", 0.6), ("sharp", 0.2)):
        register(name, noise)
        promote(name, uri)

    port = free_port()
    line = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"]
    with (
        serving([*line, f"--backend-store-uri={uri}"], port, tmp_path, "/health") as address,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser,
    ):
        page = browser.new_page(viewport={"width": 1500, "height": 800})
        page.set_default_timeout(60_000)
        page.goto(f"{address}/#/models/tiny")
        page.get_by_text("champion").first.wait_for()
        page.screenshot(path=shots / "champion_model.png")
        for version, said in (("2", "over version 1 on 120 dev pairs, p 0.0004"), ("1", "replaced by version 2")):
            page.goto(f"{address}/#/models/tiny/versions/{version}")
            page.locator("p", has_text=said).first.wait_for()
            page.screenshot(path=shots / f"champion_version{version}.png")
