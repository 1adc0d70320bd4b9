"""Readers and writers of JSON files: an array of objects, or one object a line; errors name the data row."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from src.data.columns import invalid_value, short_repr
from src.data.text_files import BLOCK, READ, open_text
from src.utils.errors import UserError, shorten
from src.utils.text import to_json

ROWS = 4096
"""Objects of a chunk."""
SPACE = re.compile(r"[ \t\r\n]*")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character beyond U+FFFF: valid in JSON, not in UTF-8."""
TEXT, NUMBER = "a text in quotation marks", "a number without quotation marks"
KINDS = {bool: "true or false", int: NUMBER, float: NUMBER, str: TEXT, list: "a list", dict: "an object"}

Fields = dict[str, Any]


class JsonFile:
    """A file of JSON objects; a field of a nested object has a dotted name, such as `labels.real-label`."""

    is_quoted = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []

    @cached_property
    def names(self) -> list[str]:
        """Names of the fields of the first `ROWS` objects."""
        return list(dict.fromkeys(name for fields in islice(_objects(self.path), ROWS) for name in _dotted(fields)))

    @cached_property
    def schema(self) -> pa.Schema:
        """All fields; raise `UserError` naming the first row with no object or with other types."""
        schema = pa.schema([])
        for chunk in self._chunks(None, None):
            with _conversion(self.path):
                schema = pa.unify_schemas([schema, chunk.schema], promote_options="permissive")
        return schema

    def chunks(self, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the fields `names`, all by default, of the rows in file order; a missing field is null.

        Raises `UserError` naming the first row with no object or with other types.
        """
        return self._chunks(names, None if names else self.schema)

    def _chunks(self, names: Sequence[str] | None, schema: pa.Schema | None) -> Iterator[pa.Table]:
        kinds: dict[str, str] = {}
        number, objects = count(1), _objects(self.path)
        while rows := list(islice(objects, ROWS)):
            if names:
                rows = [{name: _field(fields, name) for name in names} for fields in rows]
            for fields in rows:
                _check_kinds(self.path, next(number), fields, kinds)
            found = schema.names if schema else dict.fromkeys(name for fields in rows for name in fields)
            with _conversion(self.path):
                chunk = pa.table({name: [fields.get(name) for fields in rows] for name in found}, schema=schema)
            yield chunk


class _Values:
    """JSON values of a text, which is read in pieces."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.text, self.at = "", 0

    def __str__(self) -> str:
        """Return the text at the current position, for an error message."""
        line = self.text[self.at :][:100].split("\n")[0]
        return short_repr(line) if line else "the end of the file"

    def next_is(self, mark: str) -> bool:
        """Return whether the next character is the mark, and skip it; white space does not count."""
        found = self.peek() == mark
        self.at += found
        return found

    def peek(self) -> str:
        """Return the next character that is not white space, or an empty text at the end."""
        while True:
            space = SPACE.match(self.text, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self.text) or not self._read():
                return self.text[self.at : self.at + 1]

    def next(self) -> Any:
        """Return the next value; raise `ValueError` if it is not valid."""
        self.peek()
        while True:
            try:
                value, self.at = DECODER.raw_decode(self.text, self.at)
            except ValueError:  # also if the rest of the value has not been read yet
                if not self._read():
                    raise
            else:
                return value

    def _read(self) -> bool:
        """Read more text, at most `BLOCK` characters beyond the values; return whether there was any."""
        rest = self.text[self.at :]
        more = self.file.read(max(READ, len(rest))) if len(rest) < BLOCK else ""
        self.text, self.at = rest + more, 0
        return bool(more)


def _unique(pairs: list[tuple[str, Any]]) -> Fields:
    """Return the fields of an object; raise `KeyError` for the first name that occurs twice."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise KeyError(next(name for at, (name, _) in enumerate(pairs) if name in dict(pairs[:at])))
    return fields


DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _objects(path: Path) -> Iterator[Fields]:
    """Yield the objects of the file; raise `UserError` at the first row that is not one."""
    with open_text(path) as file:
        values = _Values(file)
        in_array = values.next_is("[")
        if in_array and values.next_is("]"):
            return
        for row in count(1):
            if not in_array and not values.peek():
                return
            yield _object(path, row, values)
            if in_array and values.next_is("]"):
                break
            if in_array and not values.next_is(","):
                raise _unexpected(path, row + 1, f"a comma and an object, or the end of the array, found {values}")
        if values.peek():
            raise _unexpected(path, row + 1, f"nothing after the array, found {values}")


def _object(path: Path, row: int, values: _Values) -> Fields:
    try:
        fields = values.next()
    except KeyError as error:
        raise _unexpected(path, row, f"each field of an object once, found {error} twice") from None
    except (ValueError, RecursionError):
        raise _unexpected(path, row, f"a JSON object, found {values}") from None
    if not isinstance(fields, dict):
        raise _unexpected(path, row, f"a JSON object, found {short_repr(fields)}")
    return fields


def _unexpected(path: Path, row: int, problem: str) -> UserError:
    return UserError(f"{path}, data row {row}: expected {problem}: write an array of objects, or one object a line.")


def _field(fields: Fields, name: str) -> Any:
    """Return the field of this name, or that of a nested object, None if there is none."""
    if name in fields:
        return fields[name]
    inner = (
        _field(value, name.removeprefix(f"{key}."))
        for key, value in fields.items()
        if isinstance(value, dict) and name.startswith(f"{key}.")
    )
    return next((value for value in inner if value is not None), None)


def _dotted(fields: Fields) -> list[str]:
    nested = [f"{key}.{name}" for key, value in fields.items() if isinstance(value, dict) for name in _dotted(value)]
    return list(dict.fromkeys([*fields, *nested]))


def _check_kinds(path: Path, row: int, fields: Fields, kinds: dict[str, str], prefix: str = "") -> None:
    """Raise `UserError` for a value that differs in kind from its column or has a lone surrogate; extend `kinds`."""
    for key, value in fields.items():
        name = f"{prefix}{key}"
        if isinstance(value, str) and LONE_SURROGATE.search(value):
            raise invalid_value(path, row, name, "text without lone surrogates", value, "correct the row")
        kind = KINDS.get(type(value))
        if kind and kinds.setdefault(name, kind) != kind:
            advice = "correct the row, since a column has values of one kind"
            raise invalid_value(path, row, name, kinds[name], value, advice)
        if isinstance(value, dict):
            _check_kinds(path, row, value, kinds, f"{name}.")
        for item in value if isinstance(value, list) else ():
            _check_kinds(path, row, {f"{name}[]": item}, kinds)


@contextmanager
def _conversion(path: Path) -> Iterator[None]:
    """Turn errors of the conversion to Arrow into `UserError`."""
    try:
        yield
    except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
        raise UserError(
            f"{path}: expected each column of one type, found {shorten(error)}: correct the file."
        ) from error


@contextmanager
def write_json(file: TextIO, is_array: bool) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends a chunk, an object for each row: in an array, or one a line."""
    start, between, end = ("[\n", ",\n", "\n]\n") if is_array else ("", "\n", "\n")
    separator = start

    def append(chunk: pa.Table) -> None:
        nonlocal separator
        for row in chunk.to_pylist():
            file.write(separator + to_json(row, default=str))
            separator = between

    yield append
    file.write(end if separator == between else start + end)
