"""Names of metrics in results, curves and stores: their labels, and which of them a summary shows."""

import re
from collections.abc import Iterable

from src.evaluation.metrics import OF_SHAPE, Metric, leading_metric

LABELS = {metric.name: metric.label for metrics in OF_SHAPE.values() for metric in metrics}
"""Labels of the metrics of whole embeddings."""
LEADING = {metrics[0].name for metrics in OF_SHAPE.values()}
DIMENSION = re.compile(r"(?P<name>\w+)_dim_(?P<dim>\d+)")


def label_of(name: str) -> str:
    """Return the label of a metric, such as `nDCG@10`, `nDCG@10, 128 dimensions` or, in a mixture, `nDCG@10 of nli`."""
    part, _, own = name.rpartition("/")
    found = DIMENSION.fullmatch(own)
    label = f"{label_of(found['name'])}, {found['dim']} dimensions" if found else LABELS.get(own, own)
    return f"{label} of {part}" if part else label


def own(names: Iterable[str]) -> list[str]:
    """Return the names of metrics of the primary set; those of other sets of a mixture are `SET/NAME`."""
    return [name for name in names if "/" not in name]


def check_names(shape: str, names: list[str]) -> list[str]:
    """Return the names of a result's metrics, the leading one first; raise `ValueError` for an unknown one."""
    if shape not in OF_SHAPE:
        raise ValueError(f"the shape {shape!r}, which is none of {', '.join(OF_SHAPE)}")
    for name in names:
        shapes = OF_SHAPE if "/" in name else [shape]
        found = DIMENSION.fullmatch(name.rpartition("/")[2])
        metric = found["name"] if found else name.rpartition("/")[2]
        if all(metric != known.name for one in shapes for known in OF_SHAPE[one]):
            raise ValueError(f"{name!r}, which is no metric of {' or '.join(shapes)} examples")
    if names[0] != leading_metric(shape).name:
        raise ValueError(f"{names[0]!r} as the leading metric of {shape} examples")
    return names


def headline(names: Iterable[str]) -> list[str]:
    """Return the metrics that a summary shows, in their order: of whole embeddings, of another set the leading one."""
    return [name for name in names if name in LABELS or name.rpartition("/")[2] in LEADING]


def by_dimension(name: str, names: Iterable[str]) -> dict[int, str]:
    """Return the names of a metric of embeddings cut to fewer dimensions, by their number, the highest first."""
    found = {
        int(match["dim"]): each for each in names if (match := DIMENSION.fullmatch(each)) and match["name"] == name
    }
    return dict(sorted(found.items(), reverse=True))


def rows_of(metric: Metric) -> str:
    """Return what the rows of a metric's table of predictions are called."""
    return "pairs" if metric.of_similarities else "queries"
