"""Addresses of the MLflow UI: what they are made of, and which ones a run has."""

from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest

from src.config import Config
from src.config.tracking import TrackingConfig
from src.evaluation.metrics import NDCG
from src.tracking import start_run
from src.tracking.links import LOCAL, curves_page, ui_address, ui_title, version_page
from src.utils.errors import UserError
from tests.tracking.conftest import killed_run, locked, recorded_runs, sync

UI = "https://mlflow.example/ml"
LIST = f"{LOCAL}/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey="


@pytest.mark.parametrize(
    ("uri", "ui", "address"),
    [
        ("sqlite:///mlruns/mlflow.db", None, LOCAL),
        ("http://host:5001/", None, "http://host:5001"),
        ("sqlite:///mlruns/mlflow.db", f"{UI}/", UI),
        ("http://host:5001", UI, UI),
    ],
)
def test_the_ui_is_the_configured_one_the_server_or_that_of_make_ui(uri: str, ui: str | None, address: str) -> None:
    assert ui_address(TrackingConfig(uri=uri, ui=ui)) == address


@pytest.mark.parametrize(
    "ui",
    ["mlflow:5000", "http://me:secret@host", "http://host?token=secret", "http://host/#/experiments", "", "http://h o"],
)
def test_other_addresses_are_refused_without_showing_a_secret(ui: str) -> None:
    with pytest.raises(UserError, match=r"tracking\.ui must be http") as refused:
        TrackingConfig(ui=ui)
    assert "secret" not in str(refused.value)


def test_the_title_says_what_must_be_running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert ui_title(TrackingConfig()) == "in MLflow, while make ui is running:"
    assert ui_title(TrackingConfig(uri="http://host:5000")) == ui_title(TrackingConfig(ui=UI)) == "in MLflow:"
    other = ui_title(TrackingConfig(uri="sqlite:///my runs/mlflow.db"))
    assert other == "in MLflow, while python -m src.ui --uri 'sqlite:///my runs/mlflow.db' is running:"


def test_the_curves_of_runs_of_several_experiments_are_in_one_chart() -> None:
    page, _, query = curves_page(UI, {"a" * 32: "2", "b" * 32: "1", "c" * 32: "2"}, NDCG).partition("?")
    assert page == f"{UI}/#/metric" and " " not in query
    values = parse_qs(query)
    assert values["runs"] == [f'["{"a" * 32}","{"b" * 32}","{"c" * 32}"]']
    assert values["experiments"] == ['["1","2"]']
    assert values["metric"] == [f'"{NDCG}"'] and values["x_axis"] == ["step"]


def test_a_name_of_a_model_is_quoted() -> None:
    page = version_page(UI, "후기 100%?", "3")
    assert page.isascii() and "/models/후기 100%?/versions/3?workflowType" in unquote(page)


def test_a_run_has_addresses_once_the_store_has_recorded_it(config: Config) -> None:
    with locked(config), start_run(config, {}) as run:
        assert run.pages() == {}
    assert run.pages() == {}
    sync(config)
    with start_run(config, {}) as run:
        assert run.pages() == {
            "runs": f"{LIST}scores",
            "run": f"{LOCAL}/#/experiments/1/runs/{run.run_id}?workflowType=machine_learning",
        }
        assert run.pages("recipes")["runs"] == f"{LIST}recipes"


def test_a_resumed_run_and_one_with_a_model_have_addresses(config: Config, tiny_encoder_folder: Path) -> None:
    with killed_run(config) as run:
        run.log_metrics({"loss": 1.0}, 1)
    (found,) = recorded_runs(config)
    with start_run(config, {}, former=found.info.run_id) as run:
        run.log_model(tiny_encoder_folder, 1, {})
        assert run.pages()["version"] == f"{LOCAL}/#/models/tiny/versions/1?workflowType=machine_learning"
    assert found.info.run_id in run.pages()["run"]
