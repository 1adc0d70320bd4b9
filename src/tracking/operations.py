"""Format of a journal: header, operations and confirmations as JSON lines, and the checks of lines that are read.

A journal may come from anywhere, like any file in an experiment's folder.
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from src.config.schema import NAME
from src.config.tracking import check_uri
from src.utils.errors import UserError, shorten

VERSION = 2
"""Version of the format; 1, without a version in the header, had all settings of the store there."""
MAX_LINE = 1 << 20
"""Bytes of the longest line."""
MAX_TIME = 10**13
"""Unix time in milliseconds of the year 2286."""
KEY = re.compile(r"[\w./ :-]{1,250}")
"""Names of metrics, parameters and tags that MLflow accepts."""
RUN_ID = re.compile(r"[0-9a-f]{32}")
STATUSES = ("FINISHED", "FAILED", "KILLED")
DATASET = {"name": 500, "digest": 36, "source_type": 36, "source": 60_000, "schema": 60_000, "profile": 60_000}
"""Fields of a data set in MLflow, with the number of characters that it accepts."""


@dataclass(frozen=True)
class Header:
    """First line: what the operations are for."""

    experiment: str
    uri: str
    """Address of the store, absolute."""
    store: str | None = None
    """Path of an SQLite store relative to the journal's folder, which stays valid if the project moves."""

    def line(self) -> dict[str, Any]:
        """Return the values of the line."""
        return {"version": VERSION, "experiment": self.experiment, "uri": self.uri, "store": self.store}


@dataclass(frozen=True)
class Operation:
    """One call to the MLflow store."""

    number: int
    name: str
    at: int
    """Unix time in milliseconds."""
    values: dict[str, Any]


@dataclass(frozen=True)
class Confirmation:
    """The store has recorded all operations up to a number, and returned these values."""

    sent: int
    facts: dict[str, str]


Record = Header | Operation | Confirmation


def parse_line(line: bytes) -> Record:
    """Return the content of a line; raise `ValueError` saying what was expected and found if it cannot be used."""
    if len(line) > MAX_LINE:
        raise ValueError(f"expected at most {MAX_LINE:,} bytes, found {len(line):,}")
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON, found {shorten(repr(line), 60)}") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, found {shorten(repr(values), 60)}")
    if "experiment" in values:
        return _header(values)
    return _confirmation(values) if "sent" in values else _operation(values)


def _header(values: dict[str, Any]) -> Header:
    version = values.get("version", 1)
    if version not in (1, VERSION):
        raise ValueError(f"expected version {VERSION} of a journal, found {shorten(repr(version), 60)}")
    stored = values.get("tracking") if version == 1 else values
    uri, store = (stored.get("uri"), stored.get("store")) if isinstance(stored, dict) else (None, None)
    experiment = values["experiment"]
    _expect("a valid name of an experiment", _is_text(experiment) and bool(NAME.fullmatch(experiment)), experiment)
    _expect("the path of a store", store is None or _is_text(store), store)
    try:
        check_uri(uri if isinstance(uri, str) else "", "uri")
    except UserError as error:
        raise ValueError(str(error)) from error
    return Header(experiment, str(uri), store)


def _confirmation(values: dict[str, Any]) -> Confirmation:
    sent, facts = values["sent"], values.get("facts")
    _expect("the number of an operation", _is_number(sent), sent)
    known = isinstance(facts, dict) and all(
        name in FACTS and isinstance(value, str) and FACTS[name].fullmatch(value) for name, value in facts.items()
    )
    _expect("values that the store returned", known, facts)
    return Confirmation(sent, facts or {})


def _operation(values: dict[str, Any]) -> Operation:
    _expect("the keys of an operation", values.keys() == {"number", "name", "at", "values"}, sorted(values))
    name, given = values["name"], values["values"]
    _expect("the number of an operation", _is_number(values["number"]), values["number"])
    _expect("a time", _is_number(values["at"]) and values["at"] < MAX_TIME, values["at"])
    _expect(f"one of {sorted(VALUES)}", isinstance(name, str) and name in VALUES, name)
    checks = VALUES[name]
    complete = isinstance(given, dict) and checks.keys() - OPTIONAL <= given.keys() <= checks.keys()
    _expect(f"the values {sorted(checks)} of {name}", complete, given)
    for key, value in given.items():
        _expect(f"a valid value {key} of {name}", checks[key](value), value)
    return Operation(**values)


def _expect(expected: str, condition: bool, found: Any) -> None:
    if not condition:
        raise ValueError(f"expected {expected}, found {shorten(repr(found), 60)}")


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_text(value: Any, longest: int = 4096) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest


def is_inside(value: Any) -> bool:
    """Return whether a value is the path of a file below a folder: relative and without `..`."""
    return _is_text(value) and not PurePath(value).is_absolute() and ".." not in PurePath(value).parts


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _all_named(value: Any, check: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(KEY.fullmatch(name) and check(one) for name, one in value.items())


def _are_texts(value: Any) -> bool:
    return _all_named(value, lambda text: isinstance(text, str))


def _are_numbers(value: Any) -> bool:
    return _all_named(value, _is_finite)


def _is_dataset_key(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and value.keys() == {"name", "digest"}
        and all(_is_text(text, DATASET[name]) for name, text in value.items())
    )


def _is_dataset(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and {"name", "digest", "source_type", "source"} <= value.keys() <= DATASET.keys()
        and all(
            text is None if name in ("schema", "profile") and not text else _is_text(text, DATASET[name])
            for name, text in value.items()
        )
    )


FACTS = {"run_id": RUN_ID, "experiment_id": re.compile(r"\d{1,19}"), "model_version": re.compile(r"\d{1,9}")}
"""Values that the store returns, by name."""
SOURCE: dict[str, Callable[[Any], bool]] = {"kept": is_inside, "late": _is_flag}
"""A file or folder in the journal's folder; `late`: in the experiment's folder, as no copy could be made."""
VALUES: dict[str, dict[str, Callable[[Any], bool]]] = {
    "open": {"new": _is_flag, "tags": _are_texts},
    "params": {"params": _are_texts},
    "tags": {"tags": _are_texts},
    "metrics": {"values": _are_numbers, "step": _is_number, "reported": _is_flag},
    "dataset": {"dataset": _is_dataset, "context": _is_text},
    "artifact": {**SOURCE, "parent": lambda value: value is None or is_inside(value)},
    "model": {
        **SOURCE,
        "step": _is_number,
        "register": _is_flag,
        "scores": _are_numbers,
        "metrics": _are_numbers,
        "evaluated": _is_dataset_key,
    },
    "export": {**SOURCE, "run": lambda value: _is_text(value, 100)},
    "measured": {"metrics": _are_numbers, "evaluated": _is_dataset_key, "step": _is_number},
    "close_children": {},
    "end": {"status": STATUSES.__contains__},
}
"""Values of each operation, with their checks."""
OPTIONAL = {"late", "metrics", "evaluated", "reported"}
"""Values that the operations of earlier versions lack."""
