"""Encoders over an export folder: a plain one for its graph and tokenizer, and one with the library's interface."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from src.encoder.prompts import COLUMN_PROMPTS
from src.exporting.folder import GRAPHS, INFO, TOKENIZER, ExportInfo
from src.utils.errors import UserError, shorten

Session = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
"""Returns the embeddings (texts, dimension) of token ids and mask, both (texts, tokens)."""


def _open_onnx(path: Path, threads: int, exact: bool) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return found

    return run


def _open_openvino(path: Path, threads: int, exact: bool) -> Session:
    from src.exporting.openvino import open_session

    return open_session(path, threads, exact)


OPENERS: dict[str, Callable[[Path, int, bool], Session]] = {"onnx": _open_onnx, "openvino": _open_openvino}


class Runtime:
    """Graph and tokenizer of an export folder, as its README.md uses them."""

    def __init__(self, folder: Path, info: ExportInfo) -> None:
        self.folder = folder
        self.info = info
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))

    @cached_property
    def session(self) -> Session:
        """The graph, opened at its first use, with the number of threads that torch then has.

        Raises `UserError` if the runtime cannot open it.
        """
        path = self.folder / GRAPHS[self.info.format][0]
        try:
            return OPENERS[self.info.format](path, torch.get_num_threads(), self.info.precision == "fp32")
        except Exception as error:  # those of the runtimes have no common base
            raise UserError(
                f"{path}: expected a graph that {self.info.format} opens, found {shorten(error)}: export it again."
            ) from error

    def tokenize(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return token ids and mask of texts, cut and padded to the longest."""
        encodings = self.tokenizer.encode_batch(list(texts))
        ids, mask = ([getattr(each, name) for each in encodings] for name in ("ids", "attention_mask"))
        return np.array(ids, dtype=np.int64), np.array(mask, dtype=np.int64)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings of a batch of texts, which already have their prompts."""
        return self.session(*self.tokenize(texts))


class ExportedModule(InputModule):
    """The only module of a `SentenceTransformer` that computes its embeddings with an exported graph."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self.runtime = runtime
        self.max_seq_length = runtime.info.max_length
        # without cutting and padding, for what counts tokens
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(runtime.folder / TOKENIZER))

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **_: Any) -> dict[str, Any]:
        """Return ids and mask of texts, each with the prompt before it."""
        tokens = self.runtime.tokenize([f"{prompt or ''}{text}" for text in inputs])
        return dict(zip(("input_ids", "attention_mask"), map(torch.from_numpy, tokens), strict=True))

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the features with the embeddings."""
        ids, mask = (features[name].numpy() for name in ("input_ids", "attention_mask"))
        vectors = torch.from_numpy(self.runtime.session(ids, mask))
        if vectors.shape[-1] != self.get_embedding_dimension():
            raise UserError(
                f"{self.runtime.folder / INFO}: expected dimensions {vectors.shape[-1]}, which the graph has, found"
                f" {self.get_embedding_dimension()}: export the model again."
            )
        return features | {"sentence_embedding": vectors}

    def get_embedding_dimension(self) -> int:
        """Return the number of dimensions of an embedding."""
        return self.runtime.info.dimensions

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Raise `NotImplementedError`: an export is a folder already."""
        raise NotImplementedError(f"copy the folder {self.runtime.folder} to {output_path}")


def load_export(folder: Path) -> SentenceTransformer:
    """Return an encoder that computes with the graph in an export folder, with the prompts of the exported model.

    Raises `UserError` if the folder is damaged, or its runtime is not installed.
    """
    info = ExportInfo.load(folder)
    try:
        module = ExportedModule(Runtime(folder, info))
    except Exception as error:  # the package tokenizers raises Exception itself
        raise UserError(
            f"{folder / TOKENIZER}: expected a tokenizer, found {shorten(error)}: export the model again."
        ) from error
    encoder = SentenceTransformer(
        modules=[module],
        device="cpu",
        prompts=dict(info.prompts),
        default_prompt_name=info.default_prompt_name,
        similarity_fn_name="cosine",
        local_files_only=True,
    )
    vars(encoder)[COLUMN_PROMPTS] = dict(info.column_prompts)
    return encoder
