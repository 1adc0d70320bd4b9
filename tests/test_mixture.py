"""Training with a mixture of scored pairs and triplets, and training it again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

import src.train
from src.config import Config
from src.config.data import Mixture
from src.config.files import read_settings
from src.evaluation.metrics import NDCG, SPEARMAN
from src.pipeline.reproduce import reproduce
from tests.conftest import write_pairs
from tests.test_triplets import FAST, write_triplets


def test_the_primary_set_leads_and_the_recorded_losses_give_the_same_curve_again(
    tiny_config: Callable[..., Config], tmp_path: Path
) -> None:
    paths = {"nli": str(write_triplets(tmp_path / "nli.jsonl")), "sts": str(write_pairs(tmp_path / "sts.csv"))}
    sets = {name: {"train": path, "dev": path} for name, path in paths.items()}
    config = tiny_config(*FAST, "trainer.max_steps=4", "trainer.eval_steps=2", "loss.matryoshka_dims=[16]")
    config = replace(config, data=Mixture(sets=sets, primary="sts"))
    result = src.train.run(config)
    assert (result.shape, result.metric.name) == ("scored", SPEARMAN)
    names = [SPEARMAN, f"{SPEARMAN}_dim_16", f"nli/{NDCG}", f"nli/{NDCG}_dim_16"]
    assert set(names) <= set(result.scores) and result.gain
    curve = pd.read_csv(Path(config.folder) / "curve.csv")
    assert curve[names].iloc[-1].tolist() == [result.scores[name].value for name in names]
    recorded = read_settings(Path(config.folder) / "config.yaml")["data"]["sets"]
    assert {name: each["loss"] for name, each in recorded.items()} == {
        "nli": {"name": "mnrl"},
        "sts": {"name": "cosine_similarity"},
    }
    assert reproduce(result.run_id, config.tracking.uri) == 0
