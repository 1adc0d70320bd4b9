"""Texts are checked before a training: cut ones are told, unknown ones stop it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

import src.train
from src.config import Config
from src.config.training import TrainerConfig
from src.training.texts import check_texts
from src.utils.errors import UserError
from tests.training.examples import make_set

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


def test_prompts_of_columns_and_cut_texts_of_each_set_are_told(
    tiny_encoder_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = SentenceTransformer(
        str(tiny_encoder_folder), device="cpu", prompts={"query": "질문: ", "passage": "본문: "}
    )
    encoder.max_seq_length = 12
    data = replace(make_set("scored", 4, "sts"), others=(make_set("triplets", 4, "nli"),))
    with caplog.at_level("INFO"):
        check_texts(encoder, data, TrainerConfig())
    told = "\n".join(caplog.messages)
    assert "sts, prompt" not in told
    assert "nli, prompts: '질문: ' before anchor, '본문: ' before positive, '본문: ' before negative" in told
    assert "nli, train: 12 of 12 texts" in told and "nli, dev: 12 of 12 texts" in told
