"""Recognition of the shape of a source by its columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from src.config.data import PairFiles
from src.config.model import NEGATIVE
from src.data.columns import require_columns, short_repr
from src.data.shapes import SHAPES
from src.utils.errors import UserError

ALIASES: dict[str, tuple[str, ...]] = {
    "sentence1": ("premise",),
    "sentence2": ("hypothesis",),
    "score": (),
    "label": ("gold_label",),
    "anchor": ("query", "question"),
    "positive": ("pos", "passage", "answer", "document"),
    NEGATIVE: ("neg", "hard_negative"),
}
"""Names that a column of a shape may have without a setting."""
PRECEDENCE = ("scored", "triplets", "positives", "labelled")
"""Shapes in the order in which columns are tried; all triplets also have the columns of positives."""


@dataclass(frozen=True)
class Layout:
    """Columns of a source, and how they become examples of a shape."""

    shape: str = "scored"
    """Name of the shape; auto: labelled or, if the labels are those of NLI, triplets."""
    columns: Mapping[str, str] = field(default_factory=lambda: {name: name for name in SHAPES["scored"].columns})
    """Column of the source for each column of a shape."""
    min_score: float = 0.0
    max_score: float = 1.0
    labels: Mapping[str, int | None] = field(default_factory=dict)
    """As in `PairFiles`."""
    negatives: int | None = None
    """As in `PairFiles`."""
    is_adjustable: bool = True
    """Whether the user can change these settings."""

    @property
    def names(self) -> list[str]:
        """Columns of the source to read, each once."""
        return list(dict.fromkeys(self.columns.values()))

    @property
    def advice(self) -> str:
        """What to do if a column is missing."""
        keys = dict.fromkeys(f"data.{NEGATIVE if name.startswith(NEGATIVE) else name}" for name in self.columns)
        return f"rename the columns or set {', '.join(keys)}" if self.is_adjustable else "use the columns as published"

    def shown(self, name: str) -> str:
        """Return the column of the source from which a column of a shape is read, or its own name without a source."""
        other = NEGATIVE if "label" not in self.columns else "sentence1" if name == "anchor" else "sentence2"
        return self.columns.get(name) or self.columns.get(other, name)


def recognise(names: Sequence[str], where: str, data: PairFiles) -> Layout:
    """Return the layout of a source with the columns `names`, which has `data.shape` or, for auto, exactly one shape.

    Columns of scored pairs decide before all others, and labels only if there are no other columns of a shape. Raises
    `UserError` if no shape or several are possible.
    """
    found = {role: _candidates(role, names, data) for role in ALIASES}
    shape = _only_shape(found, names, where, data) if data.shape == "auto" else data.shape
    roles = SHAPES[shape].columns
    if shape in ("positives", "triplets") and not _fits(shape, found) and _fits("labelled", found):
        roles = SHAPES["labelled"].columns
    if "label" in roles and data.shape == "auto" and not data.labels:
        shape = "auto"
    columns = {role: (found[role] or [getattr(data, role)])[0] for role in roles}
    if NEGATIVE in roles and len(found[NEGATIVE]) > 1:
        del columns[NEGATIVE]
        columns |= {f"{NEGATIVE}_{number}": name for number, name in enumerate(found[NEGATIVE], start=1)}
    layout = Layout(shape, columns, data.min_score, data.max_score, data.labels, data.negatives)
    require_columns(layout.names, names, where, layout.advice)
    several = [f"{found[role]} for data.{role}" for role in roles if role != NEGATIVE and len(found[role]) > 1]
    if several:
        raise UserError(f"{where}: expected one column for each role, found {several[0]}: set it to one of them.")
    return layout


def _candidates(role: str, names: Sequence[str], data: PairFiles) -> list[str]:
    """Return the columns that may have this role: the one with its name, else those with another name for it."""
    configured = getattr(data, role)
    is_default = configured == role
    known = (role, *ALIASES[role]) if is_default else (configured,)
    if role == NEGATIVE:
        return next(filter(None, (_numbered(name, names) for name in known)), [])
    others = {getattr(data, other) for other in ALIASES if is_default and getattr(data, other) != other}
    free = [name for name in known if name in names and name not in others]
    return free[:1] if configured in free else free


def _numbered(name: str, names: Sequence[str]) -> list[str]:
    """Return the column of this name and those with _1, _2, … appended, in the order of the numbers."""
    matches = (re.fullmatch(rf"{re.escape(name)}(?:_(\d+))?", column) for column in names)
    return [match[0] for match in sorted(filter(None, matches), key=lambda match: int(match[1] or 0))]


def _fits(shape: str, found: Mapping[str, Sequence[str]]) -> bool:
    return all(found[role] for role in SHAPES[shape].columns)


def _only_shape(found: Mapping[str, Sequence[str]], names: Sequence[str], where: str, data: PairFiles) -> str:
    """Return the name of the shape that the columns have."""
    absent = [role for role in ALIASES if getattr(data, role) != role and not found[role]]
    advice = f"correct {', '.join(f'data.{role}' for role in absent)}"
    require_columns([getattr(data, role) for role in absent], names, where, advice)
    fitting = [shape for shape in PRECEDENCE if _fits(shape, found)]
    if not fitting or ("labelled" in fitting[1:] and fitting[0] != "scored"):
        shapes = "; ".join(f"{name}: {', '.join(shape.columns)}" for name, shape in SHAPES.items())
        count = "several" if fitting else "none"
        raise UserError(
            f"{where}: expected the columns of one shape ({shapes}), found {short_repr(list(names), 200)}, which has"
            f" those of {count}: set data.shape, or the names of the columns, as in data.sentence1=COLUMN."
        )
    gold = [*found["score"], *found["label"]]
    if fitting[0] == "positives" and gold:
        anchor, positive = found["anchor"][0], found["positive"][0]
        raise UserError(
            f"{where}: expected positives without a score or label, found the column {gold[0]!r}: set"
            f" data.sentence1={anchor} data.sentence2={positive} if it says which pairs fit, or data.shape=positives if"
            " all do."
        )
    return fitting[0]
