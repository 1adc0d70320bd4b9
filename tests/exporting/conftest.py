"""Tiny encoders of several architectures with random weights, and difficult sentences."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
)

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
POSITIONS = {"max_position_embeddings": 140}
KINDS: dict[str, Callable[[int], Any]] = {
    "bert": lambda size: BertModel(BertConfig(vocab_size=size, pad_token_id=1, **SIZES, **POSITIONS)),
    "roberta": lambda size: RobertaModel(RobertaConfig(vocab_size=size, pad_token_id=1, **SIZES, **POSITIONS)),
    "distilbert": lambda size: DistilBertModel(
        DistilBertConfig(vocab_size=size, dim=32, n_layers=2, n_heads=2, hidden_dim=64, pad_token_id=1, **POSITIONS)
    ),
    "mpnet": lambda size: MPNetModel(MPNetConfig(vocab_size=size, pad_token_id=1, **SIZES, **POSITIONS)),
}
"""Transformers by name, made for a number of pieces."""
MODULES = {
    "dense": lambda: [Pooling(32, pooling_mode="mean"), Dense(32, 24), Normalize()],
    "cls": lambda: [Pooling(32, pooling_mode="cls")],
    "max": lambda: [Pooling(32, pooling_mode="max")],
}
"""Modules after a BERT in place of mean pooling."""
DIFFICULT = [
    "",
    " ",
    "방이 넓고 조용해요",
    normalize("NFD", "호스트가 친절합니다, 강추!"),
    "완전 강추👍👍 가족👨‍👩‍👧‍👦이랑 여행✈️ 😍",
    "가 " * 600,
    "山과 江이 보이는 방 <s> </s> <pad> <mask>",
    "전   띄어쓰기를\t많이\n합니다\u00a0",
    "abc" * 400,
]


@pytest.fixture(scope="session")
def make_encoder(tiny_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make the folder of a tiny encoder: of a transformer in `KINDS`, or a BERT with other `MODULES`."""
    made: dict[str, Path] = {}
    tokenizer = SentenceTransformer(str(tiny_encoder_folder), device="cpu").tokenizer

    def make(kind: str) -> Path:
        if kind not in made:
            folder, plain = tmp_path_factory.mktemp(kind) / kind, tmp_path_factory.mktemp("plain")
            with torch.random.fork_rng():
                torch.manual_seed(0)
                transformer = KINDS.get(kind, KINDS["bert"])(len(tokenizer))
                modules = MODULES[kind]() if kind in MODULES else [Pooling(32, pooling_mode="mean")]
            transformer.save_pretrained(plain)
            tokenizer.save_pretrained(plain)
            encoder = SentenceTransformer(modules=[Transformer(str(plain)), *modules], device="cpu")
            encoder.max_seq_length = 128
            encoder.save_pretrained(str(folder), create_model_card=False)
            shutil.rmtree(plain)
            made[kind] = folder
        return made[kind]

    return make
