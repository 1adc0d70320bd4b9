"""Lines of a journal: which are accepted, and which are refused with a reason."""

import json
from typing import Any

import pytest

from src.tracking.operations import MAX_LINE, parse_line

RUN = "0123456789abcdef" * 2
DATASET = {"name": "n", "digest": "d", "source_type": "code", "source": "{}"}

MODEL = {
    "kept": "ab/model",
    "step": 1,
    "register": True,
    "scores": {"spearman_cosine": 0.8},
    "metrics": {"spearman_cosine": 0.8, "validation_loss": 0.1},
    "evaluated": {"name": "pairs test", "digest": "abc"},
}


def operation(name: str, values: Any, **changes: Any) -> dict[str, Any]:
    return {"number": 1, "name": name, "at": 1_750_000_000_000, "values": values, **changes}


ACCEPTED: list[dict[str, Any]] = [
    {"version": 2, "experiment": "tiny", "uri": "http://127.0.0.1:9", "store": None},
    {"experiment": "tiny", "tracking": {"uri": "sqlite:///mlruns/mlflow.db", "artifacts": "mlruns/artifacts"}},
    {"sent": 3, "facts": {"run_id": RUN, "experiment_id": "1", "model_version": "12"}},
    operation("open", {"new": True, "tags": {"user": "me"}}),
    operation("metrics", {"values": {"eval/loss": 0.5, "steps": 3}, "step": 0}),
    operation("dataset", {"dataset": {**DATASET, "schema": None}, "context": "training"}),
    operation("artifact", {"kept": "ab/plot.png", "parent": "plots"}),
    operation("artifact", {"kept": "plots/plot.png", "late": True, "parent": None}),
    operation("model", {"kept": "ab/model", "step": 1, "register": True, "scores": {}}),
    operation("model", MODEL),
    operation("model", {**MODEL, "evaluated": None}),
    operation("close_children", {}),
    operation("end", {"status": "KILLED"}),
]
REFUSED: list[Any] = [
    {"version": 3, "experiment": "tiny", "uri": "http://127.0.0.1:9"},
    {"version": 2, "experiment": "../tiny", "uri": "http://127.0.0.1:9"},
    {"version": 2, "experiment": ["tiny"], "uri": "http://127.0.0.1:9"},
    {"version": 2, "experiment": "tiny", "uri": "http://me:pw@127.0.0.1:9"},
    {"version": 2, "experiment": "tiny", "uri": "http://h/\u001b[31m"},
    {"version": 2, "experiment": "tiny", "uri": None},
    {"experiment": "tiny", "tracking": "http://127.0.0.1:9"},
    {"sent": -1, "facts": {}},
    {"sent": 1, "facts": {"run_id": "' or 1"}},
    {"sent": 1, "facts": {"experiment_id": "1/../2"}},
    {"sent": 1, "facts": {"user": "me"}},
    {"sent": 1, "facts": None},
    [],
    "open",
    None,
    {},
    operation("delete", {}),
    operation("__init__", {}),
    operation(["open"], {}),  # type: ignore[arg-type]
    operation("end", {"status": "DELETED"}),
    operation("end", {"status": []}),
    operation("end", {}),
    operation("end", None),
    operation("end", {"status": "FINISHED"}, number=True),
    operation("end", {"status": "FINISHED"}, at=-1),
    operation("end", {"status": "FINISHED"}, at=10**15),
    operation("end", {"status": "FINISHED"}, more=1),
    operation("metrics", {"values": "many", "step": 1}),
    operation("metrics", {"values": {"loss": "0.5"}, "step": 1}),
    operation("metrics", {"values": {"loss": float("nan")}, "step": 1}),
    operation("metrics", {"values": {"loss": 10**400}, "step": 1}),
    operation("metrics", {"values": {"loss\n": 0.5}, "step": 1}),
    operation("metrics", {"values": {"loss": 0.5}, "step": -1}),
    operation("params", {"params": {"a": 1}}),
    operation("tags", {"tags": {"x" * 251: "1"}}),
    operation("dataset", {"dataset": {**DATASET, "other": "x"}, "context": "training"}),
    operation("dataset", {"dataset": {**DATASET, "digest": "x" * 37}, "context": "training"}),
    operation("artifact", {"kept": "/etc/passwd", "parent": None}),
    operation("artifact", {"kept": "ab/../../../x", "parent": None}),
    operation("artifact", {"kept": "ab/plot.png", "parent": "../other"}),
    operation("artifact", {"kept": "", "parent": None}),
    operation("model", {"kept": "ab/model", "step": 1, "register": "yes", "scores": {}}),
    operation("model", {**MODEL, "metrics": {"loss": "0.5"}}),
    operation("model", {**MODEL, "evaluated": {"name": "pairs test"}}),
    operation("model", {**MODEL, "evaluated": {"name": "pairs test", "digest": "x" * 37}}),
]


@pytest.mark.parametrize("values", ACCEPTED)
def test_lines_of_the_format_are_accepted(values: dict[str, Any]) -> None:
    parse_line(json.dumps(values).encode())


@pytest.mark.parametrize("values", REFUSED)
def test_other_lines_are_refused_with_a_reason(values: Any) -> None:
    with pytest.raises(ValueError, match=r"expected .*found|must be"):
        parse_line(json.dumps(values).encode())


@pytest.mark.parametrize(
    "line", [b"", b'{"number": 2, "na', b"\x00\x00", b"\xff", b"[" * 100_000, b'"' + b"x" * MAX_LINE + b'"']
)
def test_lines_that_are_not_json_or_too_long_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected .*found"):
        parse_line(line)
