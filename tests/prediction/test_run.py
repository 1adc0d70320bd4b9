"""A prediction ends with what the encoder did not see of the texts."""

from pathlib import Path

import pytest

from src.config.commands import PredictConfig
from src.prediction import run_prediction


@pytest.mark.parametrize("output", [None, "scored.csv"])
def test_a_prediction_tells_which_texts_are_cut_or_unknown(
    output: str | None, tiny_encoder_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.csv").write_text(f"sentence1,sentence2\nห้องสะอาดมาก,방\n{'방' * 600},역\n", "utf-8")
    written = str(tmp_path / output) if output else None
    run_prediction(PredictConfig(model=str(tiny_encoder_folder), pairs=str(tmp_path / "pairs.csv"), output=written))
    cut, unknown = capsys.readouterr().out.strip().splitlines()[-2:]
    assert "note: sentences: 1 of 4 texts (25.0%) are longer than 512 tokens and cut there, the longest has 603" in cut
    assert "note: sentences: the tokenizer does not know 30% or more of 1 of 4 texts (25.0%)" in unknown
