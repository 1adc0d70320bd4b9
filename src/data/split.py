"""Seeded splits of examples, stratified by score or label, with no text in two parts."""

import warnings
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
    rest, part = (f"{key}={fraction:g}, {share:g} of train" for share in (1 - fraction, fraction))
    return _halves(table, chosen, (rest, part), f"set another {key}")


def split_folds(examples: Dataset, count: int, seed: int, key: str) -> list[tuple[Dataset, Dataset]]:
    """Return for each of `count` folds the remaining examples and those held out, in the order of `examples`.

    Every example is held out once. Groups, scores and labels are as in `split_off`; `key`: setting named in errors.

    Raises `UserError` if there are too few groups, or a fold has too few examples or only a single score.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    table = to_table(examples)
    group, shape, where = _groups(text_ids(table)[0]), shape_of(table), f"{key}={count}"
    if len(np.unique(group)) < count:
        raise UserError(
            f"{where}: expected at least {count} groups of {shape.noun} without shared texts, found"
            f" {len(np.unique(group))} among {len(group):,} {shape.noun}: set a smaller {key}."
        )
    labels = table[shape.label].to_numpy() if shape.label else np.zeros(len(group))
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a label with fewer examples than folds: the folds are checked below
        held_out = [rows for _, rows in folds.split(group, _bins(labels, labels, 1 / count), group)]
    names = ((f"{where}, rest of fold {number}", f"{where}, fold {number}") for number in range(1, count + 1))
    masks = (np.isin(np.arange(len(group)), rows) for rows in held_out)
    return [_halves(table, mask, each, f"set a smaller {key}") for mask, each in zip(masks, names, strict=True)]


def _halves(table: pa.Table, chosen: NDArray[np.bool_], names: tuple[str, str], advice: str) -> tuple[Dataset, Dataset]:
    """Return the other rows and the chosen ones; raise `UserError` with their name if one half is not usable."""
    halves = [table.filter(pa.array(rows)) for rows in (~chosen, chosen)]
    for half, name, role in zip(halves, names, ("train", "dev"), strict=True):
        check_usable(CheckedSplit(half, name), role, f", or {advice}")
    rest, part = map(to_dataset, halves)
    return rest, part


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
