"""Seeded splits of examples, stratified by score or label, with no text in both parts."""

from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from src.data.checks import CheckedSplit, check_usable
from src.data.examples import to_dataset, to_table
from src.data.relations import text_ids
from src.data.shapes import shape_of
from src.utils.errors import UserError

BINS = 10
"""Maximum number of bins to stratify by."""


def split_off(examples: Dataset, fraction: float, seed: int, key: str) -> tuple[Dataset, Dataset]:
    """Return the remaining examples and a part of about `fraction` (0..1) of all, both in the order of `examples`.

    Examples that share a text, directly or through others, stay together; the scores or labels of the part are
    distributed as those of all. The same examples, fraction and seed give the same split. `key`: setting named in
    errors.

    Raises `UserError` if no such split exists, or one part has too few examples or only a single score.
    """
    table = to_table(examples)
    chosen = choose_rows(table, fraction, seed, f"set another {key}")
    rest, part = (table.filter(pa.array(rows)) for rows in (~chosen, chosen))
    for half, share, role in ((rest, 1 - fraction, "train"), (part, fraction, "dev")):
        check_usable(CheckedSplit(half, f"{key}={fraction:g}, {share:g} of train"), role, f", or set another {key}")
    return to_dataset(rest), to_dataset(part)


def choose_rows(table: pa.Table, fraction: float, seed: int, advice: str) -> NDArray[np.bool_]:
    """Return the mask of the rows to split off; raise `UserError` with the advice if no split is possible."""
    group, shape = _groups(text_ids(table)[0]), shape_of(table)
    labels = table[shape.label].to_numpy() if shape.label else np.zeros(len(group))
    sizes = np.bincount(group)
    means = np.bincount(group, weights=labels) / sizes
    chosen = _choose_groups(sizes, _bins(means, labels, fraction), fraction, seed)[group]
    if chosen.all() or not chosen.any():
        raise UserError(
            f"expected to split off {fraction:g} of the {shape.noun} with no text in both parts, found"
            f" {sizes.max(initial=0):,} of {len(group):,} {shape.noun} connected by shared texts: {advice}."
        )
    return chosen


def _groups(ids: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return for each example the number of its group: examples connected by shared texts."""
    count, others = int(ids.max(initial=-1)) + 1, ids.shape[1] - 1
    links = coo_array(
        (np.ones(others * len(ids), bool), (np.repeat(ids[:, 0], others), ids[:, 1:].ravel())), (count, count)
    )
    labels: NDArray[np.int32] = connected_components(links, directed=False)[1]
    return labels[ids[:, 0]]


def _bins(means: NDArray[np.float64], labels: NDArray[Any], fraction: float) -> NDArray[np.int64]:
    """Return the bin of each group by its mean score or label; the edges are quantiles of all."""
    count = int(np.clip(fraction * len(labels), 1, BINS))
    edges = np.unique(np.quantile(labels, np.linspace(0, 1, count + 1)[1:-1])) if count > 1 else np.empty(0)
    return np.digitize(means, edges)


def _choose_groups(sizes: NDArray[np.int64], bins: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return the mask of the chosen groups, sampled from each bin until they have `fraction` of its examples."""
    order = np.random.default_rng(seed).permutation(len(sizes))
    chosen = np.zeros(len(sizes), dtype=bool)
    target = 0.0
    for number in np.unique(bins):
        members = order[bins[order] == number]
        target += fraction * sizes[members].sum()
        members = members[sizes[members] / 2 < target]
        taken = members[np.cumsum(sizes[members]) - sizes[members] / 2 < target]
        chosen[taken] = True
        target -= sizes[taken].sum()
    return chosen
