"""Fixtures of the prediction tests: the tiny encoder, and files of texts in every format."""

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sentence_transformers import SentenceTransformer

from src.prediction.encoder import load_model
from src.prediction.scoring import Embedder

WriteRows = Callable[[Path, list[dict[str, str]]], None]


@pytest.fixture(scope="session")
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return load_model(str(tiny_encoder_folder), "")


@pytest.fixture
def embed(encoder: SentenceTransformer) -> Embedder:
    return Embedder(encoder, batch_size=8, precision="fp32", cache_mb=1)


def _delimited(rows: list[dict[str, str]], delimiter: str) -> str:
    lines = [list(rows[0]), *(['"' + value.replace('"', '""') + '"' for value in row.values()] for row in rows)]
    return "\n".join(map(delimiter.join, lines)) + "\n"


TEXTS: dict[str, Callable[[list[dict[str, str]]], str]] = {
    ".csv": partial(_delimited, delimiter=","),
    ".tsv": partial(_delimited, delimiter="\t"),
    ".json": partial(json.dumps, ensure_ascii=False, indent=2),
    ".jsonl": lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
}


def _write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return
    text = TEXTS[path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix](rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.fixture
def write_rows() -> WriteRows:
    """Write rows of texts in the format of the file name's suffix."""
    return _write_rows
