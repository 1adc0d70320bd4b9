"""Seeds, a sweep, a comparison and a reproduction of trainings with triplets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

import src.compare
import src.sweep
import src.train
from src.config import Config, SweepSettings
from src.config.commands import ConfirmConfig
from src.evaluation.metrics import NDCG
from src.evaluation.result import Result
from src.pipeline.reproduce import reproduce
from src.utils.errors import UserError

TinyConfig = Callable[..., Config]
Sweep = Callable[..., SweepSettings]
THINGS, VERDICTS = ("방", "침대", "욕실", "주방", "동네", "전망"), ("좋아요", "나빠요", "조용해요", "넓어요", "편해요")
FAST = ("trainer.precision=fp32", "tracking.models=false")


def write_triplets(path: Path) -> Path:
    """Write 30 triplets, made up for the tests, as JSONL."""
    triplets = [
        {
            "anchor": f"{thing} 어때요, {verdict}?",
            "positive": f"정말 {thing}이 {verdict}",
            "negative": f"{THINGS[number - 1]}이 {verdict} 아마",
        }
        for number, thing in enumerate(THINGS)
        for verdict in VERDICTS
    ]
    path.write_text("\n".join(json.dumps(each, ensure_ascii=False) for each in triplets), encoding="utf-8")
    return path


def files(folder: Path) -> list[str]:
    """Return the overrides that train and evaluate on the triplets."""
    path = write_triplets(folder / "triplets.jsonl")
    return [f"data.train={path}", f"data.dev={path}"]


class Finished(NamedTuple):
    """A training with three seeds that has ended."""

    config: Config
    result: Result
    folder: Path


@pytest.fixture(scope="module")
def finished(tiny_config_in: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("triplets")
    config = tiny_config_in(folder, *files(folder), *FAST, "trainer.seeds=[1,2,3]", "trainer.eval_steps=4")
    return Finished(config, src.train.run(config), Path(config.folder))


def test_the_leading_metric_of_three_seeds_is_that_of_retrieval(finished: Finished) -> None:
    result, summary = finished.result, finished.result.seeds
    assert (result.shape, result.metric.name, next(iter(result.scores))) == ("triplets", NDCG, NDCG)
    assert result.spearman_ceiling is None and "cosine_accuracy" in result.scores
    each = [Result.load(finished.folder / "seeds" / str(seed)).leading.value for seed in (1, 2, 3)]
    assert summary and summary.means[NDCG].value == pytest.approx(sum(each) / 3)
    assert summary.means[NDCG].low <= summary.means[NDCG].value <= summary.means[NDCG].high
    assert result.gain and result.gain.value == pytest.approx(result.leading.value - result.before.value)
    curve = pd.read_csv(finished.folder / "curve.csv")
    assert curve[NDCG].iloc[0] == result.before.value and curve[NDCG].iloc[-1] == result.leading.value
    settings = (finished.folder / "config.yaml").read_text(encoding="utf-8")
    assert "name: mnrl" in settings


def test_two_runs_are_compared_by_the_leading_metric(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(finished.folder / "seeds" / str(seed)) for seed in (1, 2)]
    src.compare.run(runs, finished.config.tracking.uri, tmp_path / "comparison")
    assert "nDCG@10" in capsys.readouterr().out


def test_a_run_gives_the_same_curve_again(finished: Finished) -> None:
    assert reproduce(finished.result.run_id, finished.config.tracking.uri) == 0


def test_a_sweep_maximises_the_leading_metric_over_losses_and_their_settings(
    sweep_config: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {
        "loss.name": {"choices": ["mnrl", "triplet"]},
        "trainer.gradient_accumulation_steps": {"choices": [1, 2]},
        "trainer.lr_scheduler_type": {"choices": ["linear", "cosine"]},
        "trainer.layer_decay": {"low": 0.5, "high": 1.0},
    }
    config = sweep_config(
        *files(tmp_path), *FAST, space=space, trials=3, validation=0.3, confirm=ConfirmConfig(top_k=2, seeds=1)
    )
    result = src.sweep.run(config)
    assert result and result.metric.name == NDCG
    table = pd.read_csv(Path(config.folder) / "sweep" / "report" / "trials.csv")
    assert table[NDCG].notna().any() and len(table) == 3
    best = (Path(config.folder) / "sweep" / "best.yaml").read_text(encoding="utf-8")
    assert "nDCG@10" in best.splitlines()[2]
    assert "mnrl" in capsys.readouterr().out


def test_a_loss_that_does_not_fit_is_refused_before_the_encoder_is_loaded(
    tiny_config: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.pipeline.seeds.load_encoder", lambda _: pytest.fail("the encoder was loaded"))
    with pytest.raises(UserError, match=r"loss\.name must be auto or one of \['mnrl', 'triplet'\], .* found 'cosent'"):
        src.train.run(tiny_config(*files(tmp_path), "loss=cosent"))


def test_a_searched_loss_that_does_not_fit_is_refused_before_the_first_trial(
    sweep_config: Sweep, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"loss\.name must be auto or one of .* found 'angle'"):
        src.sweep.run(sweep_config(*files(tmp_path), space={"loss.name": {"choices": ["mnrl", "angle"]}}))
    space = {"loss.name": {"choices": ["mnrl", "triplet"]}, "loss.scale": {"low": 10.0, "high": 50.0}}
    with pytest.raises(UserError, match=r"loss\.scale must be 20"):
        src.sweep.run(sweep_config(*files(tmp_path), space=space))
