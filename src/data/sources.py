"""Loading of the configured examples: KLUE-STS, files, a Hub data set, generated or written ones, or a mixture."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from os.path import lexists
from pathlib import Path
from typing import Any

import pyarrow as pa

from src.config.data import KlueSts, Mixture, PairFiles, ProjectMatch, ReviewSearch, qualify
from src.data.checks import CheckedSplit, assemble, check_examples, check_usable
from src.data.columns import column_names
from src.data.examples import ExampleSet, Provenance, to_table
from src.data.files import FORMATS, open_file, read_columns, suffix_of
from src.data.hub_sets import NoSource, Unavailable, dataset_url, read_hub
from src.data.klue_sts import load_klue_sts
from src.data.layouts import recognise
from src.data.project_match import load_project_match
from src.data.relations import first_shared
from src.data.review_search import load_review_search
from src.data.split import choose_rows
from src.utils.errors import UserError
from src.utils.files import path_of


def load_examples(data: KlueSts | PairFiles | ProjectMatch | ReviewSearch | Mixture) -> ExampleSet:
    """Return the examples of a data configuration, checked and in file order; of a mixture the primary set.

    Raises `UserError` for invalid input.
    """
    return LOADERS[type(data)](data)


def load_pair_files(data: PairFiles) -> ExampleSet:
    """Return the examples of files or of a Hub data set; without `data.dev` a part of train becomes dev.

    Dev has the shape of train. Raises `UserError` if a file, a column or a value differs from the configuration.
    """
    on_hub = _is_on_hub(data)
    read = _read_hub if on_hub else _read_file
    examples = read(data, "train" if on_hub else data.train)
    if data.dev:
        known = replace(data, shape=examples.shape.name, labels=dict(examples.layout.labels))
        train, dev = examples, read(known, data.dev)
    else:
        train, dev = _split(examples, data)
    name, url = (data.train, dataset_url(data.train)) if on_hub else (Path(data.train).name, None)
    provenance = Provenance(name, url, data.license, data.language, None)
    return assemble(train, dev, "hub" if on_hub else "files", provenance)


def load_mixture(data: Mixture) -> ExampleSet:
    """Return the primary set of a mixture with the others; all warnings begin with the name of their set."""
    sets = {name: _load_part(name, part.data) for name, part in data.parts().items()}
    primary = sets.pop(data.primary or "")
    warnings = [f"{each.name}: {text}" for each in (primary, *sets.values()) for text in each.warnings]
    for one, other in permutations((primary, *sets.values()), 2):
        count, first = first_shared(to_table(one.train), to_table(other.dev))
        if count:
            warnings.append(
                f"{count:,} text(s) occur in both train of the set {one.name!r} and dev of the set {other.name!r},"
                f" such as {first!r}."
            )
    return replace(primary, warnings=tuple(warnings), others=tuple(sets.values()))


def _load_part(name: str, data: Any) -> ExampleSet:
    """Return one set of a mixture; its errors name the settings as the user wrote them."""
    try:
        return replace(load_examples(data), name=name)
    except UserError as error:
        raise UserError(f"data.sets.{name}: {qualify(str(error), f'data.sets.{name}')}") from error


def _is_on_hub(data: PairFiles) -> bool:
    """Return whether `data.train` has the form `owner/name` and is not a local file."""
    path = Path(data.train)
    is_file = suffix_of(path) in FORMATS or path.is_absolute() or len(path.parts) != 2 or lexists(path)
    return not is_file and path.parts[0] not in (".", "..", "~")


def _read_file(data: PairFiles, name: str) -> CheckedSplit:
    file = open_file(path_of(name), data.quoting)
    where = str(file.path)
    layout = recognise(file.names, where, data)
    return _checked(check_examples(read_columns(file, layout.names, layout.advice), where, layout, file.notes), data)


def _read_hub(data: PairFiles, split: str) -> CheckedSplit:
    try:
        table = read_hub(data.train, data.hub_config, split, data.hub_revision)
    except Unavailable as reason:
        raise NoSource(
            f"data.train: expected a file that ends in one of {list(FORMATS)} or a Hub data set, found {data.train!r},"
            f" which is no file here, and {reason}: correct the path or go online."
        ) from reason
    where = f"{data.train} ({split})"
    return _checked(check_examples(table, where, recognise(column_names(table.schema), where, data)), data)


def _checked(split: CheckedSplit, data: PairFiles) -> CheckedSplit:
    """Return the examples; raise `UserError` unless they have the shape of `data.shape`."""
    if data.shape not in ("auto", split.shape.name):
        raise UserError(
            f"{split.where}: expected {data.shape}, found no negatives in column {split.layout.shown('negative')!r}:"
            f" add some, or set data.shape={split.shape.name}."
        )
    return split


def _split(examples: CheckedSplit, data: PairFiles) -> tuple[CheckedSplit, CheckedSplit]:
    """Return train and dev; the warnings of the file stay with train."""
    check_usable(examples, "train")
    advice = "give a dev file (data.dev) or another fraction (data.dev_fraction)"
    chosen = choose_rows(examples.table, data.dev_fraction, data.seed, advice)
    where = f"{examples.where} ({data.dev_fraction:g} of it split off as dev)"
    train = replace(examples, table=examples.table.filter(pa.array(~chosen)))
    return train, replace(examples, table=examples.table.filter(pa.array(chosen)), where=where, warnings=())


LOADERS: dict[type, Callable[[Any], ExampleSet]] = {
    KlueSts: load_klue_sts,
    PairFiles: load_pair_files,
    ProjectMatch: load_project_match,
    ReviewSearch: load_review_search,
    Mixture: load_mixture,
}
