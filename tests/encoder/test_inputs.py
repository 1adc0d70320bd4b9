"""Length of an encoder by its architecture."""

import json
import shutil
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer
from transformers import (
    BertConfig,
    BertModel,
    CamembertConfig,
    CamembertModel,
    DebertaV2Config,
    DebertaV2Model,
    LongformerConfig,
    LongformerModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedConfig,
    PreTrainedModel,
    T5Config,
    T5EncoderModel,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLNetConfig,
    XLNetModel,
)

from src.config.model import HubEncoder
from src.encoder import load_encoder
from src.encoder.inputs import position_limit, token_limit
from src.utils.errors import UserError

SMALL = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
POSITIONS = {**SMALL, "max_position_embeddings": 40, "pad_token_id": 1}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
LIMITS: list[tuple[type[PreTrainedModel], PreTrainedConfig, int | None]] = [
    (BertModel, BertConfig(**POSITIONS), 40),
    (XLMRobertaModel, XLMRobertaConfig(**POSITIONS), 38),
    (CamembertModel, CamembertConfig(**POSITIONS), 38),
    (LongformerModel, LongformerConfig(**POSITIONS, attention_window=[4]), 38),
    (MPNetModel, MPNetConfig(**POSITIONS), 38),
    (DebertaV2Model, DebertaV2Config(**POSITIONS, **RELATIVE), None),
    (T5EncoderModel, T5Config(vocab_size=20, d_model=8, d_kv=4, num_layers=1, num_heads=2, d_ff=8), None),
    (XLNetModel, XLNetConfig(vocab_size=20, d_model=8, n_layer=1, n_head=2, d_inner=8), None),
]


@pytest.fixture
def roberta_folder(tiny_encoder_folder: Path, tmp_path: Path) -> Path:
    """The tiny encoder with an XLM-R of 40 positions, whose settings allow 512 tokens."""
    folder = Path(shutil.copytree(tiny_encoder_folder, tmp_path / "roberta"))
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    XLMRobertaModel(XLMRobertaConfig(**{**POSITIONS, "vocab_size": vocabulary, "hidden_size": 32})).save_pretrained(
        folder
    )
    return folder


@pytest.mark.parametrize(("kind", "config", "limit"), LIMITS, ids=lambda value: getattr(value, "__name__", None))
def test_the_number_of_tokens_with_positions_depends_on_the_architecture(
    kind: type[PreTrainedModel], config: PreTrainedConfig, limit: int | None, tiny_encoder_folder: Path
) -> None:
    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    encoder[0].model = kind(config)
    assert position_limit(encoder) == limit


def test_a_length_beyond_the_positions_is_refused_with_the_number_that_works(roberta_folder: Path) -> None:
    with pytest.raises(UserError, match=r"model\.max_length must be at most 38 for this model, found 39"):
        load_encoder(HubEncoder(path=str(roberta_folder), max_length=39))
    encoder = load_encoder(HubEncoder(path=str(roberta_folder), max_length=38))
    assert encoder.encode("방" * 100).shape == (32,)


def test_the_models_own_length_is_the_default_as_far_as_it_has_positions(
    roberta_folder: Path, tiny_encoder_folder: Path
) -> None:
    encoder = load_encoder(HubEncoder(path=str(roberta_folder)))
    assert token_limit(encoder) == 38
    assert encoder.encode("방" * 600).shape == (32,)
    assert load_encoder(HubEncoder(path=str(tiny_encoder_folder))).max_seq_length == 512


def test_the_own_length_of_a_saved_model_is_kept(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(HubEncoder(path=str(tiny_encoder_folder), max_length=77))
    encoder.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    assert load_encoder(HubEncoder(path=str(tmp_path / "saved"))).max_seq_length == 77
