"""One training in a process of its own, and what it left in its metrics.json."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from src.errors import UserError

PLAIN = ("tracking.models=false", "tracking.system_metrics=false", "trainer.checkpoints=false", "trainer.resume=never")
"""What a comparison of trainers leaves out."""


def train_apart(overrides: list[str], folder: Path) -> dict[str, Any]:
    """Run `python -m src.train` with these overrides in a new process and return its metrics.

    Raises:
        UserError: the training failed; with its own last line.

    """
    store = folder.parent.resolve() / "mlflow.db"
    places = [
        f"hydra.run.dir={folder}",
        f"tracking.uri=sqlite:///{store}",
        f"tracking.artifacts={folder.parent}/artifacts",
    ]
    command = [sys.executable, "-m", "src.train", *overrides, *PLAIN, *places]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise UserError(f"expected {' '.join(command)} to end well, found exit code {done.returncode}: {last}")
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics
