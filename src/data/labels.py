"""Checks of gold scores and labels."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from src.data.columns import NUMBER, ROW, first_true, refuse
from src.data.layouts import Layout
from src.utils.errors import UserError

NUMBER_TYPES = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
SCALES = ((0, 1), (-1, 1), (0, 5), (1, 5), (0, 10), (0, 100))
MANY = 20
"""Number of scores from which on a column with all scores within 0 to 1 of a wider range is rejected."""
BINARY = {"0": 0, "1": 1, "false": 0, "true": 1}
NLI = {"entailment": 1, "neutral": 0, "contradiction": 0}
"""Labels of natural language inference, in the order of their numbers in SNLI, MNLI, XNLI and KLUE-NLI."""
FREQUENT = 0.05
"""Share of the rows from which a number counts as a label, and not as a mistake among others."""
UNDECIDED: dict[str, int | None] = {"-": None, "-1": None}
"""Labels of pairs in SNLI on which the annotators did not agree."""


def check_scores(raw: pa.Table, where: str, layout: Layout) -> pa.ChunkedArray:
    """Return the scores as doubles, rescaled to 0..1; raise `UserError` if one is not a number or out of range."""
    name = layout.shown("score")
    scores = _as_numbers(raw, where, name)
    low, high = layout.min_score, layout.max_score
    found = pc.min_max(scores).as_py()
    outside = pc.or_(pc.less(scores, low), pc.greater(scores, high))
    advice = _range_advice(found) if layout.is_adjustable else "correct the row"
    refuse(outside, raw[ROW], raw["score"], where, name, f"a score from {low:g} to {high:g}", advice)
    if len(scores) >= MANY and high > 1 and found["max"] <= 1 and found["min"] >= 0:
        raise UserError(
            f"{where}, column {name!r}: expected scores from {low:g} to {high:g}, found all {len(scores):,}"
            f" within {found['min']:g} to {found['max']:g}:"
            f" {'set data.min_score=0 data.max_score=1' if layout.is_adjustable else 'use the labels as published'}."
        )
    return pc.divide(pc.subtract(scores, low), high - low)


def check_labels(raw: pa.Table, where: str, layout: Layout) -> tuple[pa.ChunkedArray, Layout]:
    """Return the labels, 0, 1 or null, and the layout with the shape and the values of labels that they decide.

    Raises `UserError` for a label without a value.
    """
    words = _as_words(raw["label"], where, layout.shown("label"))
    layout = _decide(layout, words)
    known = pa.array(list(layout.labels), pa.string())
    is_number = first_true(pc.invert(pc.match_substring_regex(pc.drop_null(words), NUMBER))) < 0
    advice = f"set data.score={layout.shown('label')} if these are scores, or" if is_number else "set"
    refuse(
        pc.invert(pc.fill_null(pc.is_in(words, known), False)),
        raw[ROW],
        raw["label"],
        where,
        layout.shown("label"),
        f"one of the labels {list(layout.labels)}",
        f"{advice} data.labels={{LABEL: 1, …}} with 0, 1 or null for each label, or correct the row",
    )
    values = pa.array(list(layout.labels.values()), pa.int64())
    return pc.take(values, pc.index_in(words, known)), layout


def _decide(layout: Layout, words: pa.ChunkedArray) -> Layout:
    """Return the layout with a shape other than auto, and a value for each label.

    Labels are those of NLI if one is a word of NLI, or if 0, 1 and 2 are all frequent; else they must be 0 and 1.
    """
    if layout.labels:
        return replace(layout, shape="labelled" if layout.shape == "auto" else layout.shape)
    counts = {str(each["values"]): each["counts"] for each in pc.value_counts(words).to_pylist()}
    in_words = any(word in counts for word in NLI)
    is_nli = in_words or all(counts.get(number, 0) >= FREQUENT * len(words) for number in "012")
    shape = layout.shape if layout.shape != "auto" else "triplets" if is_nli else "labelled"
    if not is_nli:
        return replace(layout, shape=shape, labels=BINARY)
    values = NLI | ({"neutral": None} if shape == "triplets" else {})
    labels = values if in_words else {str(number): value for number, value in enumerate(values.values())}
    return replace(layout, shape=shape, labels=labels | UNDECIDED)


def _as_words(values: pa.ChunkedArray, where: str, name: str) -> pa.ChunkedArray:
    """Return labels as text in lower case; whole numbers without decimal places."""
    if pa.types.is_nested(values.type):
        raise UserError(f"{where}, column {name!r}: expected labels, found {values.type}: name a column of labels.")
    text = values.cast(pa.string())
    return pc.replace_substring_regex(pc.utf8_lower(pc.utf8_trim_whitespace(text)), r"^(-?\d+)\.0*$", r"\1")


def _as_numbers(raw: pa.Table, where: str, name: str) -> pa.ChunkedArray:
    values, rows = raw["score"], raw[ROW]
    advice = "write a number such as 0.5 or take the row out"
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = pc.utf8_trim(values, characters=" \t")
        is_number = pc.match_substring_regex(values, NUMBER)
        refuse(pc.invert(is_number), rows, raw["score"], where, name, "a number", advice)
    elif not any(is_type(values.type) for is_type in NUMBER_TYPES):
        raise UserError(f"{where}, column {name!r}: expected numbers, found {values.type}: name a column of scores.")
    numbers = values.cast(pa.float64())
    is_finite = pc.fill_null(pc.is_finite(numbers), False)
    refuse(pc.invert(is_finite), rows, raw["score"], where, name, "a finite number", advice)
    return numbers


def _range_advice(found: dict[str, float]) -> str:
    low, high = found["min"] or 0.0, found["max"] or 0.0  # None if there are no scores
    fits = [scale for scale in SCALES if scale[0] <= low and high <= scale[1]]
    bounds = fits[0] if fits else (low, high)
    return (
        f"the scores here run from {low:g} to {high:g}, so set data.min_score={bounds[0]:g}"
        f" data.max_score={bounds[1]:g} if that is their range, or correct the row"
    )
