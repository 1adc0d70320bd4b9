"""Reader of data sets from the Hugging Face Hub or its local cache."""

import re
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets.exceptions import DataFilesNotFoundError, DatasetNotFoundError, DatasetsError
from datasets.naming import camelcase_to_snakecase

from src.data.columns import number_rows
from src.utils.environment import hub_reachable
from src.utils.errors import UserError, shorten

datasets.disable_progress_bars()  # they would clutter redirected output

ENTAILMENT = "entailment"
UNDECIDED = "-"
"""Label in the files of SNLI for the number -1: the annotators did not agree."""
COMMIT = re.compile(r"[0-9a-f]{40}")


class Unavailable(Exception):
    """Raised for a source that is not available; the message is the reason, without a full stop."""


class NoSource(UserError):
    """Raised if no source of a data set is available: a folder that is not set, or a Hub that cannot be reached."""


def dataset_url(name: str) -> str:
    """Return the URL of a data set's page on the Hub."""
    return f"https://huggingface.co/datasets/{name}"


def read_hub(name: str, config: str | None, split: str, revision: str | None) -> pa.Table:
    """Return one split, rows numbered from 1; nested fields are named as `labels.real-label`, NLI labels are words.

    A pinned commit in the cache is used without a request to the Hub. Raises `Unavailable` if the Hub cannot be reached
    and `UserError` if it has no such data set, revision, configuration or split.
    """
    dataset = _cached(name, config, split, revision) or _load(name, config, split, revision)
    table = dataset.with_format("arrow")[:].flatten()
    for column, feature in dataset.features.items():
        # The numbers of such labels differ between data sets: of RTE, 0 is entailment and 1 is not.
        if isinstance(feature, datasets.ClassLabel) and ENTAILMENT in feature.names:
            numbers = pc.cast(table[column], pa.int64())
            decided = pc.if_else(pc.less(numbers, 0), None, numbers)
            words = pc.fill_null(pa.array(feature.names).take(decided), UNDECIDED)
            table = table.set_column(table.column_names.index(column), column, words)
    return number_rows(table)


def _cached(name: str, config: str | None, split: str, revision: str | None) -> datasets.Dataset | None:
    """Return the split from the cache of `datasets`, None unless it has exactly this commit.

    Without a connection, `datasets` itself would use the revision that was cached last.
    """
    if revision is None or not COMMIT.fullmatch(revision):
        return None
    *owner, short = name.split("/")
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "___".join([*owner, camelcase_to_snakecase(short)])
    found = [
        sorted(folder.glob(f"{config or 'default'}/*/{revision}/{pattern}"))
        for pattern in (f"*-{split}.arrow", f"*-{split}-*-of-*.arrow")
    ]
    parts = [datasets.Dataset.from_file(str(path)) for path in found[0] or found[1]]
    return datasets.concatenate_datasets(parts) if parts else None


def _load(name: str, config: str | None, split: str, revision: str | None) -> datasets.Dataset:
    """Return the split from the Hub; raise `Unavailable` or `UserError` as `read_hub`."""
    if not hub_reachable(timeout=5.0):
        raise Unavailable("the Hugging Face Hub cannot be reached")
    try:
        dataset = datasets.load_dataset(name, config, split=split, revision=revision)
    except (DatasetNotFoundError, DataFilesNotFoundError, ValueError, RuntimeError) as error:
        raise UserError(
            f"expected the split {split!r} of the Hub data set {name!r} (configuration {config}, revision {revision}),"
            f" found {shorten(error)}: correct the name or use a file."
        ) from error
    except (DatasetsError, OSError) as error:
        raise Unavailable(f"loading {name} from the Hugging Face Hub failed ({type(error).__name__})") from error
    if revision and COMMIT.fullmatch(revision) and any(revision not in at["filename"] for at in dataset.cache_files):
        raise Unavailable(f"the Hugging Face Hub gave another revision of {name} than {revision}")
    return dataset
