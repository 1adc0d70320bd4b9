"""A transformers BertModel from the tensors of a 4-bit model file."""

import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from src.encoder.q4_file import Q4File

LAYER_TENSORS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def build_bert(source: Q4File, kept: NDArray[np.intp]) -> BertModel:
    """Return the model in float32 with the word embeddings of the pieces `kept`, in that order."""
    config = BertConfig(
        vocab_size=len(kept),
        hidden_size=source.hidden,
        num_hidden_layers=source.layers,
        num_attention_heads=source.heads,
        intermediate_size=source.ffn,
        max_position_embeddings=source.positions,
        type_vocab_size=source.token_types,
        layer_norm_eps=source.eps,
        hidden_act="gelu",
        bos_token_id=source.pieces.index("<s>"),
        pad_token_id=source.pieces.index("<pad>"),
        eos_token_id=source.pieces.index("</s>"),
    )
    state = {name: torch.from_numpy(array) for name, array in _weights(source, kept).items()}
    bert: BertModel = BertModel.from_pretrained(None, config=config, state_dict=state)
    return bert


def save_encoder(bert: BertModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model with mean pooling as a sentence-transformers folder, its weights as safetensors."""
    plain = folder / "plain"
    bert.save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(bert.config.hidden_size, pooling_mode="mean")]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)
    shutil.rmtree(plain)


def _weights(source: Q4File, kept: NDArray[np.intp]) -> dict[str, NDArray[np.float32]]:
    hidden = source.hidden
    weights = {
        "embeddings.word_embeddings.weight": source.tensor("emb.word", hidden, kept),
        "embeddings.position_embeddings.weight": source.tensor("emb.pos", hidden),
        "embeddings.token_type_embeddings.weight": source.tensor("emb.type", hidden),
        "embeddings.LayerNorm.weight": source.tensor("emb.ln.w"),
        "embeddings.LayerNorm.bias": source.tensor("emb.ln.b"),
    }
    for layer in range(source.layers):
        for short, name in LAYER_TENSORS.items():
            columns = None if name.endswith("LayerNorm") else (source.ffn if short == "fo" else hidden)
            target = f"encoder.layer.{layer}.{name}"
            weights[f"{target}.weight"] = source.tensor(f"l{layer}.{short}.w", columns)
            weights[f"{target}.bias"] = source.tensor(f"l{layer}.{short}.b")
    # The file has no pooler, which mean pooling does not use; zeros keep it from being drawn at random on loading.
    weights["pooler.dense.weight"] = np.zeros((hidden, hidden), np.float32)
    weights["pooler.dense.bias"] = np.zeros(hidden, np.float32)
    return weights
