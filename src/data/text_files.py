"""Text files, plain or gzipped: reading in bounded pieces, errors that name the line, and writing."""

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TextIO, cast

from src.utils.errors import UserError, shorten

BLOCK = 1 << 25
"""Maximum number of characters of a row, so that neither an open quotation mark nor a gzip bomb exhausts the memory."""
READ = 1 << 20
"""Number of characters read at a time."""
CARRIAGE_RETURN = re.compile(r"[^\r\n]*\r(?!\n)")
"""A first line that ends with a carriage return alone."""
GZIP = ".gz"
SIGNATURES = {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"PK": "a ZIP or Excel file",
    b"\x1f\x8b": "gzip, whose name ends in .gz",
}
"""First bytes of files that are often mistaken for UTF-8 text."""


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open UTF-8 text with its line ends, with or without a byte order mark; a name in .gz is decompressed.

    Raises `UserError` if the file turns out not to be UTF-8 text, or cannot be decompressed or read.
    """
    try:
        with _open_bytes(path) as file, TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            yield text
    except UnicodeDecodeError as error:
        raise not_text(path) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path}: expected a complete gzip file, found {shorten(error)}: copy it again, or take {GZIP} off its name"
            " if it is not compressed."
        ) from error
    except OSError as error:
        raise UserError(
            f"{path}: expected a readable file, found {error.strerror or shorten(error)}: check it."
        ) from error


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines with their ends: \\r if the first line ends so, else \\n or \\r\\n.

    Raises `UserError` as `open_text`, for a NUL character and for a line of more than `BLOCK` characters.
    """
    newline, rest = "", ""
    with open_text(path) as file:
        while piece := file.read(READ):
            if "\0" in piece:
                raise not_text(path)
            if not newline:
                piece += file.read(1) if piece.endswith("\r") else ""
                newline = "\r" if CARRIAGE_RETURN.match(piece) else "\n"
            *lines, rest = (rest + piece).split(newline)
            if len(rest) > BLOCK:
                raise row_too_long(path)
            yield from [line + newline for line in lines]
    if rest:
        yield rest


def row_too_long(path: Path) -> UserError:
    """Return the error for a row of more than `BLOCK` characters."""
    return UserError(
        f"{path}: expected rows of at most {BLOCK:,} characters, found a longer one: look for an open quotation mark."
    )


def not_text(path: Path) -> UserError:
    """Return the error that names the first line that is not UTF-8 text."""
    with _open_bytes(path) as file:
        start = file.read(4)
    guess = next((f" ({name})" for signature, name in SIGNATURES.items() if start.startswith(signature)), "")
    line, found = _invalid_byte(path)
    return UserError(f"{path}, line {line}: expected UTF-8 text, found {found}{guess}: save the file as UTF-8 text.")


def _invalid_byte(path: Path) -> tuple[int, str]:
    """Return the line and the first bytes that are not text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with _open_bytes(path) as file:
        while chunk := file.read(BLOCK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return line + error.object[: error.start].count(b"\n"), f"the byte {error.object[error.start]:#04x}"
            if b"\0" in chunk:
                return line + chunk[: chunk.index(b"\0")].count(b"\n"), "a NUL byte"
            line += chunk.count(b"\n")
    return line, "an incomplete character"


@contextmanager
def write_text_file(path: Path, compress: bool) -> Iterator[TextIO]:
    """Create a UTF-8 file and yield it; the same text gives the same bytes, compressed or not."""
    with path.open("wb") as raw:
        file = cast(IO[bytes], gzip.GzipFile("", "wb", 6, raw, mtime=0) if compress else raw)
        with TextIOWrapper(file, encoding="utf-8", newline="") as text:
            yield text


def _open_bytes(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix.lower() == GZIP else path.open("rb")
