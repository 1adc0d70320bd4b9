"""Loading of the configured pairs: KLUE-STS, files, a Hub data set, or generated pairs."""

from collections.abc import Callable
from os.path import lexists
from pathlib import Path
from typing import Any

import pyarrow as pa

from src.config.data import KlueSts, PairFiles, ProjectMatch
from src.data.columns import Columns
from src.data.files import FORMATS, open_file, path_of, read_columns, suffix_of
from src.data.hub_sets import Unavailable, dataset_url, read_hub
from src.data.klue_sts import load_klue_sts
from src.data.pairs import ExampleSet, Pairs, Provenance, assemble, check_pairs, check_usable
from src.data.project_match import load_project_match
from src.data.split import choose_rows
from src.utils.errors import UserError


def load_examples(data: KlueSts | PairFiles | ProjectMatch) -> ExampleSet:
    """Return the pairs of a data configuration, checked and in file order; raise `UserError` for invalid input."""
    return LOADERS[type(data)](data)


def load_pair_files(data: PairFiles) -> ExampleSet:
    """Return the pairs of files or of a Hub data set; without `data.dev` a part of train becomes dev.

    Raises `UserError` if a file, a column or a value differs from the configuration.
    """
    on_hub = _is_on_hub(data)
    read = _read_hub if on_hub else _read_file
    pairs = read(data, "train" if on_hub else data.train)
    train, dev = (pairs, read(data, data.dev)) if data.dev else _split(pairs, data)
    name, url = (data.train, dataset_url(data.train)) if on_hub else (Path(data.train).name, None)
    provenance = Provenance(name, url, data.license, data.language, None)
    return assemble(train, dev, "hub" if on_hub else "files", provenance)


def _is_on_hub(data: PairFiles) -> bool:
    """Return whether `data.train` has the form `owner/name` and is not a local file."""
    path = Path(data.train)
    is_file = suffix_of(path) in FORMATS or path.is_absolute() or len(path.parts) != 2 or lexists(path)
    return not is_file and path.parts[0] not in (".", "..", "~")


def _columns(data: PairFiles) -> Columns:
    return Columns(data.sentence1, data.sentence2, data.score, data.min_score, data.max_score)


def _read_file(data: PairFiles, name: str) -> Pairs:
    columns = _columns(data)
    file = open_file(path_of(name), data.quoting)
    return check_pairs(read_columns(file, columns), str(file.path), columns, file.notes)


def _read_hub(data: PairFiles, split: str) -> Pairs:
    try:
        table = read_hub(data.train, data.hub_config, split, data.hub_revision, _columns(data))
    except Unavailable as reason:
        raise UserError(
            f"data.train: expected a file that ends in one of {list(FORMATS)} or a Hub data set, found {data.train!r},"
            f" which is no file here, and {reason}: correct the path or go online."
        ) from reason
    return check_pairs(table, f"{data.train} ({split})", _columns(data))


def _split(pairs: Pairs, data: PairFiles) -> tuple[Pairs, Pairs]:
    """Return train and dev; the warnings of the file stay with train."""
    check_usable(pairs, "train")
    advice = "give a dev file (data.dev) or another fraction (data.dev_fraction)"
    chosen = choose_rows(pairs.table, data.dev_fraction, data.seed, advice)
    train = Pairs(pairs.table.filter(pa.array(~chosen)), pairs.where, pairs.warnings)
    dev = Pairs(pairs.table.filter(pa.array(chosen)), f"{pairs.where} ({data.dev_fraction:g} of it split off as dev)")
    return train, dev


LOADERS: dict[type, Callable[[Any], ExampleSet]] = {
    KlueSts: load_klue_sts,
    PairFiles: load_pair_files,
    ProjectMatch: load_project_match,
}
