"""Names of metrics in results, curves and stores: their labels, and which of them a summary shows."""

import re
from collections.abc import Iterable

from src.evaluation.metrics import OF_SHAPE, Metric

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
