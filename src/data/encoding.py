"""Whether a file is UTF-8 text."""

import codecs
from pathlib import Path

from src.errors import UserError

BLOCK = 1 << 25
"""Bytes read at a time; also the longest row."""
FORMATS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", b"PK": "a ZIP or Excel file"}


def scan_text(path: Path) -> int:
    """Return the number of quotation marks in the file; raise `UserError` with the line unless it is UTF-8 text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, quotes, chunk = 1, 0, b"\n"
    with path.open("rb") as file:
        start = file.read(4)
        looks = [name for mark, name in FORMATS.items() if start.startswith(mark)]
        file.seek(0)
        while chunk:
            chunk = file.read(BLOCK)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise UserError(_no_text(path, line, f"the byte {error.object[error.start]:#04x}", looks)) from error
            if b"\0" in chunk:
                line += chunk[: chunk.index(b"\0")].count(b"\n")
                raise UserError(_no_text(path, line, "a NUL byte", looks))
            line += chunk.count(b"\n")
            quotes += chunk.count(b'"')
    return quotes


def _no_text(path: Path, line: int, found: str, looks: list[str]) -> str:
    guess = f" ({looks[0]})" if looks else ""
    return f"{path}, line {line}: expected UTF-8 text, found {found}{guess}: save the file as UTF-8 text."
