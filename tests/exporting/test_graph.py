"""Graphs of several architectures: equal to torch, deterministic, cut, smaller; models that cannot be exported."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from torch import nn

from src.config.model import HubEncoder
from src.encoder import load_encoder
from src.exporting.folder import GRAPHS, TOKENIZER, save_tokenizer
from src.exporting.graph import check_exportable
from src.utils.errors import UserError
from tests.exporting.conftest import DIFFICULT, KINDS, MODULES

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from src.exporting.conversion import write_graph_files
from src.exporting.runtime import OPENERS, Session

pytestmark = pytest.mark.export

MakeEncoder = Callable[[str], Path]


def load(folder: Path) -> SentenceTransformer:
    return load_encoder(HubEncoder(path=str(folder)))


def export(encoder: SentenceTransformer, folder: Path, format: str, precision: str, dims: int | None = None) -> Session:
    """Export an encoder and open the graph."""
    if format == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    folder.mkdir(parents=True)
    write_graph_files(encoder, folder, format, precision, dims, {"prompts": "{}"})
    return OPENERS[format](folder / GRAPHS[format][0], 1, precision == "fp32")


def embed(session: Session, encoder: SentenceTransformer, texts: list[str]) -> np.ndarray:
    features = encoder.preprocess(texts)
    return session(features["input_ids"].numpy(), features["attention_mask"].numpy())


def cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of each row."""
    return (found * expected).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)


@pytest.mark.parametrize("format", GRAPHS)
@pytest.mark.parametrize("kind", [*KINDS, *MODULES])
def test_a_graph_equals_torch_for_any_number_of_texts_and_tokens(
    kind: str, format: str, make_encoder: MakeEncoder, tmp_path: Path
) -> None:
    encoder = load(make_encoder(kind))
    session = export(encoder, tmp_path / "e", format, "fp32")
    for texts in (DIFFICULT, DIFFICULT[2:3], [*DIFFICULT, *DIFFICULT]):
        found, expected = embed(session, encoder, texts), encoder.encode(texts)
        assert found.shape == expected.shape
        assert cosines(found, expected).min() > 0.9999
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
@pytest.mark.parametrize("format", GRAPHS)
def test_the_same_encoder_gives_the_same_bytes(
    format: str, precision: str, make_encoder: MakeEncoder, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        export(load(make_encoder("bert")), tmp_path / name, format, precision)
    for file in GRAPHS[format]:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("format", GRAPHS)
def test_smaller_precisions_are_smaller_and_close_to_torch(
    format: str, make_encoder: MakeEncoder, tmp_path: Path
) -> None:
    encoder, size = load(make_encoder("bert")), {}
    expected = encoder.encode(DIFFICULT)
    for precision, least in (("fp32", 0.9999), ("int8", 0.95), ("fp16", 0.999)):
        folder = tmp_path / precision
        session = export(encoder, folder, format, precision)
        assert cosines(embed(session, encoder, DIFFICULT), expected).min() > least, precision
        size[precision] = (folder / GRAPHS[format][-1]).stat().st_size
    assert size["int8"] < 0.34 * size["fp32"]
    assert size["fp16"] < 0.55 * size["fp32"]


@pytest.mark.parametrize("kind", ["bert", "dense"])
def test_cut_embeddings_are_those_of_the_library_and_normalized_if_the_model_normalizes(
    kind: str, make_encoder: MakeEncoder, tmp_path: Path
) -> None:
    encoder = load(make_encoder(kind))
    found = embed(export(encoder, tmp_path / "e", "onnx", "fp32", dims=8), encoder, DIFFICULT)
    expected = encoder.encode(DIFFICULT, truncate_dim=8, normalize_embeddings=kind == "dense")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_encoder_is_left_as_it_was(make_encoder: MakeEncoder, tmp_path: Path) -> None:
    encoder = load(make_encoder("bert"))
    attention, before = encoder[0].model.config._attn_implementation, encoder.encode(DIFFICULT)
    export(encoder, tmp_path / "e", "onnx", "fp32")
    assert encoder[0].model.config._attn_implementation == attention
    assert (encoder.encode(DIFFICULT) == before).all()


def test_the_tokenizer_cuts_and_pads_by_itself(make_encoder: MakeEncoder, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    encoder = load(make_encoder("bert"))
    save_tokenizer(encoder.tokenizer, encoder.max_seq_length, tmp_path / TOKENIZER)
    encodings = Tokenizer.from_file(str(tmp_path / TOKENIZER)).encode_batch(DIFFICULT)
    expected = encoder.preprocess(DIFFICULT)
    assert [each.ids for each in encodings] == expected["input_ids"].tolist()
    assert [each.attention_mask for each in encodings] == expected["attention_mask"].tolist()
    assert len(encodings[0].ids) == 128


def test_static_embeddings_are_refused_in_a_sentence(make_encoder: MakeEncoder) -> None:
    tokenizer = load(make_encoder("bert")).tokenizer.backend_tokenizer
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    with pytest.raises(UserError, match="found StaticEmbedding, which takes texts another way"):
        check_exportable(static)


def test_pooling_without_the_prompt_is_refused_in_a_sentence(make_encoder: MakeEncoder) -> None:
    encoder = load(make_encoder("bert"))
    encoder[1] = Pooling(32, pooling_mode="mean", include_prompt=False)
    check_exportable(encoder)
    encoder.prompts["query"] = "query: "
    with pytest.raises(UserError, match="found pooling without the tokens of the prompt"):
        check_exportable(encoder)


def test_an_architecture_that_torch_cannot_export_is_a_sentence(make_encoder: MakeEncoder, tmp_path: Path) -> None:
    class Foreign(nn.Module):
        def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            vectors = features["sentence_embedding"]
            return features | {"sentence_embedding": torch.linalg.matrix_exp(vectors.T @ vectors)[: len(vectors)]}

    encoder = load(make_encoder("bert"))
    encoder.append(Foreign())
    with pytest.raises(UserError, match="expected an architecture that torch exports to ONNX, found BertModel and"):
        export(encoder, tmp_path / "e", "onnx", "fp32")


def test_openvino_is_imported_without_its_telemetry() -> None:
    import subprocess
    import sys

    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    code = "from src.exporting.openvino import import_openvino; import sys; import_openvino()"
    probe = f"{code}; sys.exit('openvino_telemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe]).returncode == 0
