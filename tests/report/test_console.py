"""Messages of a training: the curve, the sources and the summary."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from datasets import Dataset
from rich.console import Console

from src.config import Config
from src.data import ExampleSet, Provenance
from src.encoder import BaseModel
from src.evaluation.metrics import PEARSON, SPEARMAN, TRAINING_LOSS, metrics_of
from src.evaluation.result import Result
from src.evaluation.statistics import Estimate
from src.report import console
from src.report.console import HEADER, ProgressView, log_behind, log_pages, log_sources, log_summary
from src.tracking import start_run
from src.training import CurveRow, TrainingClock, clock
from src.utils.console import log_to_file

COLUMNS = f"{HEADER}  Spearman   Pearson"
FIRST = "   0.00       0              –           0.3000    0.5000    0.4000"
ROW = "   0.50       5         0.1000           0.2000    0.7000    0.6000"


def train(view: ProgressView) -> None:
    with view:
        view.on_train_begin(10, 0)
        view.on_evaluate(CurveRow(0.0, 0, math.nan, 0.3, {SPEARMAN: 0.5, PEARSON: 0.4}))
        view.on_step(5, {TRAINING_LOSS: 0.1})
        view.on_evaluate(CurveRow(0.5, 5, 0.1, 0.2, {SPEARMAN: 0.7, PEARSON: 0.6}))


def test_the_curve_is_printed_and_kept_in_the_log_without_traces_of_a_progress_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_to_file(tmp_path / "train.log"):
        train(ProgressView(time.monotonic))
    assert capsys.readouterr().out == f"{COLUMNS}\n{FIRST}\n{ROW}\n"
    assert [line[32:] for line in (tmp_path / "train.log").read_text().splitlines()] == [COLUMNS, FIRST, ROW]


def test_the_curve_of_a_mixture_has_two_metrics_and_the_leading_one_of_the_other_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = {metric.name: 0.5 for metric in metrics_of("triplets", (16,))}
    metrics |= {f"sts/{metric.name}": 0.25 for metric in metrics_of("scored", (16,))}
    with ProgressView(time.monotonic) as view:
        view.on_train_begin(10, 0)
        view.on_evaluate(CurveRow(0.0, 0, math.nan, 0.3, metrics))
    header, row = capsys.readouterr().out.splitlines()
    assert header == f"{HEADER}   nDCG@10    MRR@10 Spearman of sts"
    assert row.split()[-3:] == ["0.5000", "0.5000", "0.2500"] and len(row) == len(header)


def test_a_terminal_has_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = StringIO()
    monkeypatch.setattr(console, "console", Console(file=shown, force_terminal=True, width=120))
    train(ProgressView(time.monotonic))
    assert "0/10" in shown.getvalue() and "5/10" in shown.getvalue() and "loss 0.1000" in shown.getvalue()


def test_the_bar_tells_the_time_left_without_that_of_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now))
    training_clock = TrainingClock()
    with ProgressView(training_clock) as view:
        view.on_train_begin(100, 0)
        for step in (10, 20, 30):
            now += 10
            view.on_step(step, {TRAINING_LOSS: 0.1})
            with training_clock.paused():
                now += 1000
        (task,) = view.progress.tasks
        assert (task.elapsed, task.time_remaining) == (30, 70)


def test_sources_and_their_warnings_are_logged_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = Dataset.from_dict({"sentence1": ["a"], "sentence2": ["b"], "score": [0.5]})
    provenance = Provenance("pairs[v2]", None, None, "ko", "[bold]inferred")
    log_sources(
        ExampleSet(pairs, pairs, None, "files", provenance, ("odd [/row]",)), BaseModel("tests/[tiny]", None, None)
    )
    assert capsys.readouterr().out.splitlines() == [
        "Pairs: pairs[v2] (files), 1 train, 1 dev",
        "  note: [bold]inferred",
        "  note: odd [/row]",
        "Encoder: tests/[tiny]",
    ]


def test_the_summary_has_scores_intervals_and_the_published_score(
    make_result: Callable[..., Result], tiny_config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(f"+published.{SPEARMAN}=0.8555")
    log_behind(None)
    log_summary(make_result(experiment="reviews [v2]", spearman_ceiling=0.9, model_version="3"), config, "2 runs")
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "reviews [v2]: run run-1",
        "0.8000 [0.7000, 0.9000]; published card 0.8555; before training (dev) 0.5000 [0.4000, 0.6000]; the tied gold"
        " scores limit a perfect order to 0.900",
        "registered as models:/tiny/3",
        "behind: 2 runs",
    ):
        assert text in shown
    log_summary(make_result(data_source="sample"), config)
    assert "published" not in capsys.readouterr().out


def test_the_summary_has_gain_dimensions_and_other_sets(
    make_result: Callable[..., Result], tiny_config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    result = make_result("triplets", (64, 32), evaluated_on="test", gain=Estimate(0.3, 0.2, 0.4))
    other = {"sts/spearman_cosine": Estimate(0.6, 0.5, 0.7), "sts/pearson_cosine": Estimate(0.6, 0.5, 0.7)}
    log_summary(replace(result, scores=result.scores | other), tiny_config())
    shown = " ".join(capsys.readouterr().out.split())
    for line in (
        "nDCG@10 (test) 0.8000 [0.7000, 0.9000]; before training (dev) 0.5000 [0.4000, 0.6000]",
        "triplet accuracy (test) 0.8000 [0.7000, 0.9000]",
        "Spearman of sts (dev) 0.6000 [0.5000, 0.7000]",
        "gain (test) +0.3000 [+0.2000, +0.4000]",
        "nDCG@10 by dimension (test) 64: 0.8000, 32: 0.8000",
        "data files, 40 train and 40 dev triplets",
    ):
        assert line in shown
    assert "Pearson" not in shown


def test_addresses_are_printed_and_kept_whole(
    tiny_config: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    with log_to_file(tmp_path / "train.log"), start_run(tiny_config(f"tracking.ui=http://{'a' * 60}:5000"), {}) as run:
        log_pages(run)
    printed, kept = capsys.readouterr().out.splitlines(), (tmp_path / "train.log").read_text().splitlines()
    for name, address in run.pages().items():
        assert f"  {name:4}  {address}" in printed and f"  {name:4}  {address}" in kept
