"""Models in the store: timeouts of uploads."""

from pathlib import Path
from typing import Any

import pytest
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT

from src.config import Config
from src.tracking import registry, start_run


def test_the_upload_of_a_model_has_a_longer_timeout_than_other_requests(
    config: Config, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[int] = []

    def log(*_: Any) -> None:
        timeouts.append(MLFLOW_HTTP_REQUEST_TIMEOUT.get())
        raise TimeoutError

    monkeypatch.setattr(registry.MlflowClient, "log_model_artifacts", log)
    with start_run(config, {}) as run:
        run.log_model(tiny_encoder_folder, 1, {})
    assert set(timeouts) == {120}
    assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 1
