"""Texts are checked before a training: cut ones are told, unknown ones stop it."""

from collections.abc import Callable
from pathlib import Path

import pytest

import src.train
from src.config import Config
from src.utils.errors import UserError

HEADER = "sentence1,sentence2,score\n"


@pytest.mark.parametrize("trainer", ["default", "stock"])
def test_a_training_tells_how_many_texts_are_cut_and_which_prompt_it_uses(
    trainer: str, tiny_config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    src.train.run(tiny_config(f"trainer={trainer}", "model.max_length=5", "trainer.max_steps=1"))
    out = capsys.readouterr().out
    for split in ("train", "dev"):
        assert f"note: {split}: 80 of 80 texts (100.0%) are longer than 5 tokens and cut there" in out
    assert "prompt before every text" not in out


def test_unknown_texts_stop_a_training_before_its_first_step(
    tiny_config: Callable[..., Config], tmp_path: Path
) -> None:
    rows = [f"ห้องสะอาดมาก {i},ราคาแพงเกินไป {i},0.{i}" for i in range(10)]
    (tmp_path / "thai.csv").write_text(HEADER + "\n".join(rows), "utf-8")
    config = tiny_config(f"data.train={tmp_path / 'thai.csv'}")
    with pytest.raises(UserError, match=r"20 of 20 texts, such as 'ห้องสะอาดมาก 0': train with model\.vocabulary=full"):
        src.train.run(config)
    assert not (Path(config.folder) / "model").exists()
