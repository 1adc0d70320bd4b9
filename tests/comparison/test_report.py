"""The report of a comparison: its tables and its figure."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from src.comparison.differences import differences, disagreements
from src.comparison.report import FILES, print_blocks, report_blocks, write_report
from src.comparison.runs import read_runs

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
