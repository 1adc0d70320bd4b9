"""A finished sweep is replayed with other pruners."""

from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from src.benchmark.pruning import parser, read_trials, replay, run
from src.utils.errors import UserError

PROGRESS = (25, 50, 75, 100)
GOOD = [(0.5, 0.6, 0.70 + number / 100, 0.80 + number / 100) for number in range(5)]
BAD, LATE = (0.1, 0.2, 0.3, 0.4), (0.1, 0.65, 0.80, 0.90)


def make_study(path: Path, *curves: Sequence[float], state: TrialState = TrialState.COMPLETE) -> Path:
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name="sweep", direction="maximize")
    for values in curves:
        reported = dict(zip(PROGRESS, values, strict=True))
        value = values[-1] if state == TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, value=value, intermediate_values=reported, user_attrs={"steps": 100}))
    return path


def test_a_hopeless_trial_is_stopped_half_way(tmp_path: Path) -> None:
    found = replay(read_trials(make_study(tmp_path / "study.db", *GOOD, BAD)), "percentile", 50)
    assert (found.stopped, found.saved) == (1, pytest.approx(0.5 / 6))
    assert found.best_stopped == pytest.approx(0.84 - 0.4)


def test_a_slow_starter_survives_only_a_pruner_that_is_asked_late(tmp_path: Path) -> None:
    trials = read_trials(make_study(tmp_path / "study.db", *GOOD, LATE))
    assert replay(trials, "median", 50).stopped == 0
    early = replay(trials, "median", 0)
    assert (early.stopped, early.best_stopped) == (1, 0.0)
    assert early.saved == pytest.approx(0.75 / 6)


def test_every_pruner_is_replayed_and_the_study_is_not_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_study(tmp_path / "a #1 100%.db", *GOOD, BAD)
    before = path.read_bytes()
    run(**vars(parser().parse_args([str(path)])))
    printed = capsys.readouterr().out
    for pruner in ("percentile", "median", "hyperband", "wilcoxon"):
        assert f"{pruner}, from half" in printed
    assert "1 stopped, 8% of the steps saved" in printed
    assert path.read_bytes() == before


def test_a_file_without_completed_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"study\.db: expected the study\.db of a sweep, found no file"):
        read_trials(tmp_path / "study.db")
    (tmp_path / "text.db").write_text("no database, but a text")
    with pytest.raises(UserError, match=r"text\.db: expected the study\.db of a sweep, found .*database"):
        read_trials(tmp_path / "text.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(UserError, match=r"empty\.db: expected the study\.db of a sweep, found"):
        read_trials(tmp_path / "empty.db")
    assert (tmp_path / "empty.db").stat().st_size == 0
    with pytest.raises(UserError, match="expected completed trials with their evaluations, found none"):
        read_trials(make_study(tmp_path / "pruned.db", BAD, state=TrialState.PRUNED))
