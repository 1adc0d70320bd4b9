"""`python -m src.prune`: what it prints, and that it removes only with --delete."""

import shutil
from pathlib import Path

import pytest

from src.cli import parser_command
from src.prune import parser, run
from src.tracking.store import connect, set_views
from src.utils.errors import UserError


@pytest.fixture
def uri(tmp_path: Path, empty_store: Path) -> str:
    """A store with the experiment `tiny`, whose run `first` has one model of 1,000,000 bytes."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    client = connect(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("tiny", artifact_location=(tmp_path / "artifacts" / "tiny").as_uri())
    set_views(client, client.get_experiment(experiment))
    run_id = client.create_run(experiment, run_name="first").info.run_id
    model = client.create_logged_model(experiment, "tiny", run_id)
    text = f"model_id: {model.model_id}\nrun_id: {run_id}\n"
    (tmp_path / "MLmodel").write_text(f"{text}#{'x' * (999_998 - len(text))}\n")
    client.log_model_artifact(model.model_id, str(tmp_path / "MLmodel"))
    client.finalize_logged_model(model.model_id, "READY")
    client.set_terminated(run_id)
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_models_are_listed_and_removed_only_on_request(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = parser_command(run, parser())
    command(["--uri", uri])
    assert "Nothing to remove." in capsys.readouterr().out
    command(["--uri", uri, "--keep", "0", "--experiment", "tiny"])
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("tiny", "first", "–", "1.0 MB", "remove:"))
    assert "would free 1.0 MB in 1 model: give --delete to remove it" in shown
    files = list((tmp_path / "artifacts").rglob("MLmodel"))
    assert len(files) == 1
    command(["--uri", uri, "--keep", "0", "--delete"])
    assert "freed 1.0 MB in 1 model" in capsys.readouterr().out
    assert not files[0].exists()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [({"keep": -1}, "--keep must be at least 0"), ({"experiment": ["none"]}, "found Default, t")],
)
def test_mistakes_are_reported(arguments: dict[str, object], found: str, uri: str) -> None:
    with pytest.raises(UserError, match=found):
        run(uri, **arguments)  # type: ignore[arg-type]
