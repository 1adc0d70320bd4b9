"""When a run is resumed, refused or started anew."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from src.config import Config
from src.data import ExampleSet, load_examples
from src.encoder import BaseModel
from src.pipeline import state
from src.pipeline.state import (
    RunPlan,
    RunState,
    fingerprint_of,
    load_completed,
    plan_run,
    resolve_precision,
    state_file,
)
from src.utils.errors import UserError

TinyConfig = Callable[..., Config]
ADVICE = "set trainer.resume=never to start anew"


@pytest.fixture
def pairs(tiny_config: TinyConfig) -> ExampleSet:
    return load_examples(tiny_config().data)


def plan(config: Config, pairs: ExampleSet, resume: str = "auto", **options: Any) -> RunPlan:
    return plan_run(config, pairs, state_file(Path(config.folder)), resume, ADVICE, **options)


def start(config: Config, pairs: ExampleSet, done: bool = False) -> RunPlan:
    first = plan(config, pairs)
    state_file(Path(config.folder)).save(first.state("run-1", done))
    return first


@pytest.mark.parametrize("resume", ["auto", "if_same"])
def test_an_unfinished_run_with_the_same_fingerprint_is_resumed(
    resume: str, tiny_config: TinyConfig, pairs: ExampleSet
) -> None:
    start(tiny_config(), pairs)
    assert plan(tiny_config(), pairs, resume).run_id == "run-1"


def test_a_finished_run_is_not_resumed(tiny_config: TinyConfig, pairs: ExampleSet) -> None:
    start(tiny_config(), pairs, done=True)
    assert plan(tiny_config(), pairs).run_id is None


def test_never_starts_anew(tiny_config: TinyConfig, pairs: ExampleSet) -> None:
    start(tiny_config(), pairs)
    assert plan(tiny_config(), pairs, "never").run_id is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"trainer.seed": "7"}, r"trainer\.seed was 42, is 7"),
        ({"trainer.precision": "bf16"}, r"trainer\.precision was fp32, is bf16"),
        ({"trainer.learning_rate": "2e-3", "trainer.epochs": "2"}, r"trainer\.epochs was 1\.0, is 2\.0; trainer\.l"),
    ],
)
def test_other_settings_are_refused_by_name_and_value_and_nothing_on_disk_changes(
    change: dict[str, str], sentence: str, tiny_config: TinyConfig, pairs: ExampleSet
) -> None:
    start(tiny_config("trainer.precision=fp32"), pairs)
    before = {path: path.read_bytes() for path in Path(tiny_config().folder).rglob("*") if path.is_file()}
    settings = {"trainer.precision": "fp32", **change}
    other = tiny_config(*(f"{name}={value}" for name, value in settings.items()))
    with pytest.raises(UserError, match=rf"run with other settings \({sentence}.*\): {ADVICE}"):
        plan(other, pairs)
    assert plan(other, pairs, "if_same").run_id is None
    assert plan(other, pairs, has_progress=False).run_id is None
    assert {path: path.read_bytes() for path in Path(tiny_config().folder).rglob("*") if path.is_file()} == before


def test_other_pairs_and_another_number_of_processes_are_other_runs(
    tiny_config: TinyConfig, pairs: ExampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(tiny_config(), pairs)
    with pytest.raises(UserError, match=r"\(pairs was \w{36} and \w{36}, is"):
        plan(tiny_config(), replace(pairs, dev=pairs.dev.select(range(10))))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"\(processes was 1, is 2\)"):
        plan(tiny_config(), pairs)


@pytest.mark.parametrize("first", ["bf16", "fp32"])
def test_a_resumed_run_keeps_the_precision_that_was_resolved_at_its_start(
    first: str, tiny_config: TinyConfig, pairs: ExampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"auto": first}
    monkeypatch.setattr(state, "choose_precision", lambda wanted: found.get(wanted, wanted))
    assert start(tiny_config("trainer.precision=auto"), pairs).fingerprint["trainer.precision"] == first
    found["auto"] = {"bf16": "fp32", "fp32": "bf16"}[first]  # the probe would now find the other
    resumed = plan(tiny_config("trainer.precision=auto"), pairs)
    assert (resumed.run_id, resumed.config.trainer.precision) == ("run-1", first)
    anew = plan(tiny_config("trainer.precision=auto"), pairs, "never")
    assert anew.config.trainer.precision == found["auto"]


def test_settings_of_the_place_and_of_resuming_itself_may_change(tiny_config: TinyConfig, pairs: ExampleSet) -> None:
    config = tiny_config()
    moved = replace(config, folder="/elsewhere", trainer=replace(config.trainer, resume="if_same"))
    assert fingerprint_of(config, pairs) == fingerprint_of(moved, pairs)


def test_a_base_encoder_that_was_replaced_is_refused_and_one_that_was_moved_is_not(
    tiny_config: TinyConfig, pairs: ExampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(digest: str) -> None:
        monkeypatch.setattr(state, "base_of", lambda _: BaseModel("tiny", None, None, digest))

    found("1234")
    start(tiny_config(), pairs)
    assert plan(tiny_config("model.path=."), pairs).run_id == "run-1"
    found("5678")
    with pytest.raises(UserError, match=r"\(base encoder was 1234, is 5678\): set trainer\.resume=never"):
        plan(tiny_config(), pairs)


def test_a_state_of_an_earlier_version_has_no_digest_of_the_base_encoder_and_is_resumed(
    tiny_config: TinyConfig, pairs: ExampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "base_of", lambda _: BaseModel("tiny", None, None, ""))
    start(tiny_config(), pairs)
    monkeypatch.setattr(state, "base_of", lambda _: BaseModel("tiny", None, None, "1234"))
    assert plan(tiny_config(), pairs).run_id == "run-1"
    with pytest.raises(UserError, match=r"\(model\.path was .*, is \.\)"):
        plan(tiny_config("model.path=."), pairs)


def test_a_state_of_an_earlier_version_is_resumed_unless_a_newer_setting_is_not_at_its_default(
    tiny_config: TinyConfig, pairs: ExampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(tiny_config(), pairs)
    earlier = {name: value for name, value in first.fingerprint.items() if name != "trainer.weight_decay"}
    state_file(Path(tiny_config().folder)).save(RunState(earlier, "run-1"))
    assert plan(tiny_config(), pairs).run_id == "run-1"
    with pytest.raises(UserError, match=r"; trainer\.weight_decay was 0\.0, is 0\.1\)"):
        plan(tiny_config("trainer.weight_decay=0.1", "trainer.used_rows=false"), pairs)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run_id": "run-1"}', '{"fingerprint": 3, "run_id": 4}', None])
def test_a_damaged_state_is_named_and_set_aside_and_counts_as_none(
    content: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.utils.console.LOGGER.propagate", True)
    path = tmp_path / "state.json"
    path.mkdir() if content is None else path.write_text(content)
    assert state_file(tmp_path).load() is None
    assert f"{path} is damaged (" in caplog.text and "state.json.damaged, and a new run starts" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["state.json.damaged"]


def test_a_state_that_may_not_be_read_is_one_sentence(tmp_path: Path) -> None:
    def refused() -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(UserError, match=r"state\.json: expected a readable file, found Permission denied"):
        replace(state_file(tmp_path), read=refused).load()


def without_columns(path: Path) -> None:
    if path.suffix == ".csv":
        pd.read_csv(path)[["epoch"]].to_csv(path, index=False)
    else:
        pd.read_parquet(path)[["sentence1"]].to_parquet(path)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, lambda path: path.write_text("")) for name in ("metrics.json", "curve.csv", "predictions.parquet")),
        ("curve.csv", without_columns),
        ("predictions.parquet", without_columns),
    ],
)
def test_a_finished_training_with_a_damaged_file_is_named_and_not_completed(
    name: str,
    damage: Callable[[Path], object],
    make_run: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("src.utils.console.LOGGER.propagate", True)
    folder, fingerprint = make_run("one", 0.1), {"trainer.seed": "42"}
    state_file(folder).save(RunState(fingerprint, "run-1", done=True))
    assert load_completed(folder, fingerprint) is not None
    damage(folder / name)
    assert load_completed(folder, fingerprint) is None
    assert f"{name} is damaged (" in caplog.text and "this training runs again" in caplog.text
    assert (folder / f"{name}.damaged").exists() and load_completed(folder, fingerprint) is None


def test_a_state_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = RunState({"trainer.seed": "42"}, "run-1", done=True)
    state_file(tmp_path / "new").save(saved)
    assert state_file(tmp_path / "new").load() == saved


def test_only_a_done_training_of_the_same_fingerprint_is_completed(tiny_config: TinyConfig, pairs: ExampleSet) -> None:
    config = resolve_precision(tiny_config())
    fingerprint = fingerprint_of(config, pairs)
    assert load_completed(Path(config.folder), fingerprint) is None
    start(tiny_config(), pairs, done=True)
    assert load_completed(Path(config.folder), fingerprint) is None  # without its result
