"""One ONNX graph from token ids and attention mask to the embedding: pooling, dense layers, truncation, length 1."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn
from torch.nn.functional import normalize

from src.encoder.inputs import transformer_of
from src.utils.errors import UserError, shorten

OPSET = 17
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
EXAMPLES = ["호스트가 친절하고 방이 깨끗했어요.", "역에서 멀어요."]
"""Texts of different lengths to trace the graph with, so that the mask has padding."""
LARGEST = 2**31 - 2**24
"""Bytes of weights that fit into one ONNX file, whose format ends at 2 GiB."""


class EmbeddingGraph(nn.Module):
    """The modules of an encoder as a function of tensors, with embeddings cut to their first `dims` numbers.

    Cut embeddings are normalized again if the model normalizes; the library's `truncate_dim` leaves them as they are,
    with the same cosine similarities.
    """

    def __init__(self, encoder: SentenceTransformer, dims: int | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.dims = dims
        self.normalizes = isinstance(encoder[-1], Normalize)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the embeddings (texts, dimension) of token ids and mask, both (texts, tokens)."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        for module in self.encoder:
            features = module(features)
        vectors = features[OUTPUT]
        if self.dims is not None:
            vectors = vectors[:, : self.dims]
            vectors = normalize(vectors, p=2.0, dim=1) if self.normalizes else vectors
        return vectors


def check_exportable(encoder: SentenceTransformer) -> None:
    """Raise `UserError` unless the encoder is a transformer of texts whose graph needs only ids and mask."""
    found = ""
    if transformer_of(encoder) is None:
        found = f"{type(encoder[0]).__name__}, which takes texts another way"
    elif getattr(encoder.tokenizer, "backend_tokenizer", None) is None:
        found = f"{type(encoder.tokenizer).__name__}, which the package tokenizers cannot read"
    elif any(isinstance(each, Pooling) and not each.include_prompt for each in encoder) and any(
        encoder.prompts.values()
    ):
        found = "pooling without the tokens of the prompt"
    if found:
        raise UserError(
            f"expected a transformer of texts that can be one graph of token ids and mask, found {found}: such a model"
            " cannot be exported; serve it with sentence-transformers."
        )
    size = sum(weight.nbytes for weight in encoder.parameters())
    if size > LARGEST:
        raise UserError(
            f"expected at most {LARGEST:,} bytes of weights, which is what one ONNX file holds, found {size:,}: choose"
            " a smaller model."
        )


def write_graph(encoder: SentenceTransformer, path: Path, dims: int | None = None) -> None:
    """Write the encoder as ONNX in float32, with any number of texts and tokens; the same encoder gives the same file.

    Raises `UserError` if torch cannot export it.
    """
    features = encoder.preprocess(EXAMPLES)
    axes = {name: {0: "texts", 1: "tokens"} for name in INPUTS} | {OUTPUT: {0: "texts"}}
    with _plain_attention(encoder), _quiet(), torch.no_grad():
        try:
            torch.onnx.export(
                EmbeddingGraph(encoder, dims).eval(),
                tuple(features[name] for name in INPUTS),
                str(path),
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_axes=axes,
                opset_version=OPSET,
                # the exporter by torch.export takes 20 times as long and needs onnxscript
                dynamo=False,
            )
        except UserError:
            raise
        except Exception as error:  # its exceptions differ between architectures
            kind = transformer_of(encoder).__class__.__name__
            raise UserError(
                f"expected an architecture that torch exports to ONNX, found {kind} and the error"
                f" {shorten(error)}: serve this model with sentence-transformers."
            ) from error


@contextmanager
def _plain_attention(encoder: SentenceTransformer) -> Iterator[None]:
    """Compute attention with matrix products for the block; fused kernels are no operators of ONNX."""
    model = transformer_of(encoder)
    former = model.config._attn_implementation if model is not None else "eager"
    if model is None or former == "eager":
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(former)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings: that it is the older of two, and of branches that it takes as constant."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
