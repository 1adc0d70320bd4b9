"""Fixtures of the prediction tests: the tiny encoder, and files of texts in every format."""

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


def _write_delimited(path: Path, rows: list[dict[str, str]], delimiter: str) -> None:
    lines = [list(rows[0]), *(['"' + value.replace('"', '""') + '"' for value in row.values()] for row in rows)]
    path.write_text("\n".join(map(delimiter.join, lines)) + "\n", "utf-8")


def _write_json_lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


WRITERS: dict[str, WriteRows] = {
    ".csv": partial(_write_delimited, delimiter=","),
    ".tsv": partial(_write_delimited, delimiter="\t"),
    ".jsonl": _write_json_lines,
    ".parquet": lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path),
}


@pytest.fixture
def write_rows() -> WriteRows:
    """Write rows of texts in the format of the file name's suffix."""
    return lambda path, rows: WRITERS[path.suffix](path, rows)
