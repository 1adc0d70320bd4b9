"""The report of a comparison: its tables and its figure."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.comparison.differences import differences, disagreements
from src.comparison.report import FILES, report_blocks, write_report
from src.comparison.runs import read_runs
from src.evaluation.statistics import spearman
from src.report.blocks import print_blocks
from tests.conftest import noisy_predictions

STORE = "sqlite:///nowhere/mlflow.db"


def test_it_has_scores_parameters_that_differ_and_disagreements(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [make_run("slow", 0.3), make_run("fast", 0.31, rate="0.001", steps=77)]
    odd = pd.read_parquet(folders[1] / "predictions.parquet")
    lowest = int(odd["predicted"].argmin())
    odd.loc[lowest, ["predicted"]] = 9.0
    odd.to_parquet(folders[1] / "predictions.parquet")
    runs = read_runs([str(folder) for folder in folders], STORE, tmp_path)
    found = differences(runs)
    blocks = report_blocks(runs, found, disagreements(runs, 3))
    write_report(tmp_path / "report", "slow against fast", blocks, runs, found)
    text = (tmp_path / "report" / FILES[0]).read_text(encoding="utf-8")
    assert text.startswith("# slow against fast\n\n![curves and differences](comparison.png)\n\n## Runs, scored on 120")
    assert (
        r"| B | " in text and r"| tests/tiny | 0.8000 \[0.7000, 0.9000\] | 0.8000 \[0.7000, 0.9000\] | 77 | 2 |" in text
    )
    assert "trainer.learning_rate | 5e-05 | 0.001" in text
    assert "trainer.seed" not in text and "folder" not in text
    assert found[0].verdict in text
    disagreeing = text.split("ranked most differently")[1]
    assert len([line for line in disagreeing.splitlines() if line.startswith("|")]) == 2 + 3
    assert f"| 방 {lowest}이 좋아요 | 숙소 {lowest} |" in disagreeing
    assert (tmp_path / "report" / FILES[1]).read_bytes().startswith(b"\x89PNG")
    print_blocks(blocks)
    printed = " ".join(capsys.readouterr().out.split())
    assert "Parameters that differ" in printed and "trainer.learning_rate" in printed


def test_runs_on_queries_have_the_metrics_of_their_shape(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folders = [make_run(name, noise, shape="triplets") for name, noise in (("late", 1.2), ("early", 0.2))]
    runs = read_runs([str(folder) for folder in folders], STORE, tmp_path)
    found = differences(runs)
    blocks = report_blocks(runs, found, disagreements(runs, 3))
    write_report(tmp_path / "report", "late against early", blocks, runs, found)
    assert blocks[0].title == "Runs, scored on 120 queries (files, dev)"
    assert (
        blocks[0].header[4:6] == ["nDCG@10 [95 %]", "MRR@10 [95 %]"] and "triplet accuracy [95 %]" in blocks[0].header
    )
    assert blocks[1].header[1] == "nDCG@10" and blocks[1].rows[0][-1] == found[0].verdict
    assert blocks[3].title == "Queries on which they differ most (nDCG@10 of each)"
    assert blocks[3].header == ["query", "A", "B", "spread"] and len(blocks[3].rows) == 3
    assert (tmp_path / "report" / FILES[1]).read_bytes().startswith(b"\x89PNG")


def test_tables_without_rows_say_so(
    make_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(make_run("one", 0.4))
    runs = read_runs([folder, folder], STORE, tmp_path)
    blocks = report_blocks(runs, differences(runs), disagreements(runs, 3))
    print_blocks(blocks)
    assert capsys.readouterr().out.rstrip().endswith("none")
    write_report(tmp_path / "report", "<b>one", blocks, runs, differences(runs))
    text = (tmp_path / "report" / FILES[0]).read_text(encoding="utf-8")
    assert text.startswith("# \\<b\\>one\n") and text.endswith("all pairs)\n\nNone.\n")


def test_a_recipe_is_shown_with_the_mean_of_its_seeds(
    log_seed: Callable[..., str], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    noises = {42: 0.3, 43: 0.31, 44: 0.32}
    for seed, noise in noises.items():
        log_seed("3fa9c21b lr 5e-05, 1 epoch", seed, noise)
    single = make_run("single", 0.6, rate="0.001")
    runs = read_runs(["recipe:3fa9c21b", str(single)], f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "scratch")
    found = differences(runs)
    blocks = report_blocks(runs, found, disagreements(runs, 3))
    write_report(tmp_path / "report", "recipe against single", blocks, runs, found)
    recipe, one = blocks[0].rows
    assert recipe[:3] == ["A", "recipe:3fa9c21b lr 5e-05, 1 epoch", "3 seeds: 42, 43, 44"]
    each = [spearman(table["gold"], table["predicted"]) for table in map(noisy_predictions, noises.values())]
    assert recipe[4].startswith(f"{np.mean(each):.4f} [") and recipe[4].endswith(
        f"deviation {np.std(each, ddof=1):.4f}"
    )
    assert recipe[6:] == ["10", "2 each"]
    assert one[2:] == ["single", "tests/tiny", "0.8000 [0.7000, 0.9000]", "0.8000 [0.7000, 0.9000]", "10", "2"]
    assert blocks[1].title == "Differences (paired bootstrap, Welch’s t over pairs and seeds)"
    assert blocks[2].rows == [["trainer.learning_rate", "5e-05", "0.001"], ["trainer.seed", "42, 43, 44", "42"]]
    assert (tmp_path / "report" / FILES[1]).read_bytes().startswith(b"\x89PNG")
