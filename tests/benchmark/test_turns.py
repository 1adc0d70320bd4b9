"""Trainings that take turns: real processes, whose results are those of trainings alone."""

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import src.pipeline
import src.train
from src.benchmark import turns
from src.benchmark.turns import TurnCallback, train_in_turns
from src.config import Config
from src.evaluation.result import Result
from src.utils.errors import UserError
from tests.conftest import write_pairs


@pytest.fixture
def overrides(tiny_encoder_folder: Path, tmp_path: Path) -> list[str]:
    """Return those of a training of 20 steps with two evaluations."""
    pairs = write_pairs(tmp_path / "pairs.csv")
    data = ["name=tiny", "data=pairs", f"data.train={pairs}", f"data.dev={pairs}"]
    model = ["model=hub", "model.name=tests/tiny", f"model.path={tiny_encoder_folder}"]
    plain = ["trainer.threads=1", "trainer.precision=fp32"]  # a probe beside other tests may find another precision
    return [*data, *model, *plain, "trainer.batch_size=4", "trainer.max_steps=20", "trainer.eval_steps=10"]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[turns.TrainingProcess]:
    """Return the processes that have run, once for each of their turns."""
    processes: list[turns.TrainingProcess] = []
    run_turn = turns.TrainingProcess.run_turn

    def recorded(process: turns.TrainingProcess) -> bool:
        processes.append(process)
        return run_turn(process)

    monkeypatch.setattr(turns.TrainingProcess, "run_turn", recorded)
    return processes


def test_trainings_in_turns_give_the_results_of_trainings_alone(
    overrides: list[str], ran: list[turns.TrainingProcess], tiny_config: Callable[..., Config], tmp_path: Path
) -> None:
    rates = {"slow": "trainer.learning_rate=1e-4", "fast, and more": "trainer.learning_rate=1e-3"}
    results = train_in_turns({name: [*overrides, rate] for name, rate in rates.items()}, tmp_path / "turns")
    assert list(results) == list(rates)
    # the start, steps 1 to 10 and 11 to 20, and the end of each
    assert [process.name for process in ran] == [*rates] * 4
    for name, rate in rates.items():
        alone = src.train.run(tiny_config(*overrides, rate, f"folder={tmp_path / name[:4]}"))
        assert results[name].leading == alone.leading
        assert results[name].steps == 20
    assert results["slow"].leading != results["fast, and more"].leading


def test_a_failed_training_is_reported_with_its_last_line_and_the_others_end(
    overrides: list[str], ran: list[turns.TrainingProcess], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"src\.train .* to succeed, found exit code 2: .*trainer\.rate"):
        train_in_turns({"good": overrides, "bad": [*overrides, "trainer.rate=1"]}, tmp_path / "turns")
    assert [process.name for process in ran] == ["good", "bad"]
    assert all(process.process.returncode for process in ran)


@pytest.mark.parametrize("before", [True, False])
def test_a_training_ends_with_its_parent(before: bool) -> None:
    parent, child = socket.socketpair()
    callback = TurnCallback(child)
    parent.sendall(turns.TURN)
    callback.on_step(10, {})
    if before:
        assert parent.recv(10) == turns.TURN
    parent.close()
    with pytest.raises(KeyboardInterrupt):
        callback.on_step(20, {})
    child.close()


def test_the_time_between_turns_does_not_count(
    tiny_config: Callable[..., Config], make_result: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, child = socket.socketpair()
    parent.sendall(turns.TURN)
    config, trained = tiny_config(), make_result(train_seconds=10.0, pairs_per_second=32.0)

    def train(*given: Any) -> Result:
        given[-1][0].waited = 6.0
        return trained

    monkeypatch.setattr(src.pipeline, "run_training", train)
    monkeypatch.setattr("sys.stdin", child)
    found = turns.run(config)
    assert found == replace(trained, train_seconds=4.0, pairs_per_second=80.0) == Result.load(Path(config.folder))
    parent.close()
