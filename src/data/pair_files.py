"""A user's own pairs: files, or a data set on the Hub."""

from pathlib import Path

import pyarrow as pa

from src.config.data import PairFiles
from src.data.columns import Columns
from src.data.files import READERS, read_table
from src.data.hub_sets import Unavailable, read_hub
from src.data.pair_data import Origin, PairData, assemble, check_usable
from src.data.pairs import Pairs, check_pairs
from src.data.split import choose_rows
from src.errors import UserError


def load_pair_files(data: PairFiles) -> PairData:
    """Return the pairs of the files or the Hub data set; without `data.dev` a part of train becomes dev.

    Raises `UserError` where a file, a column or a value is not as the configuration says.
    """
    on_hub = is_on_hub(data)
    read = _read_hub if on_hub else _read_file
    train = read(data, data.train if not on_hub else "train")
    train, dev = (train, read(data, data.dev)) if data.dev else _split(train, data)
    origin = _hub_origin(data) if on_hub else Origin(Path(data.train).name, None, data.license, data.language, None)
    return assemble(train, dev, "hub" if on_hub else "files", origin)


def is_on_hub(data: PairFiles) -> bool:
    """Return whether `data.train` names a data set on the Hub: `owner/name`, and no file here."""
    path = Path(data.train)
    looks_like_file = path.suffix.lower() in READERS or path.is_absolute() or len(path.parts) != 2 or path.exists()
    return not looks_like_file and path.parts[0] not in (".", "..", "~")


def _columns(data: PairFiles) -> Columns:
    return Columns(data.sentence1, data.sentence2, data.score, data.min_score, data.max_score)


def _read_file(data: PairFiles, path: str) -> Pairs:
    place = Path(path).expanduser()
    return check_pairs(read_table(place, _columns(data)), str(place), _columns(data))


def _read_hub(data: PairFiles, split: str) -> Pairs:
    try:
        table = read_hub(data.train, data.hub_config, split, data.hub_revision, _columns(data))
    except Unavailable as reason:
        raise UserError(
            f"data.train: expected a file that ends in one of {list(READERS)} or a Hub data set, found {data.train!r},"
            f" which is no file here, and {reason}: correct the path or go online."
        ) from reason
    return check_pairs(table, f"{data.train} ({split})", _columns(data))


def _hub_origin(data: PairFiles) -> Origin:
    return Origin(data.train, f"https://huggingface.co/datasets/{data.train}", data.license, data.language, None)


def _split(pairs: Pairs, data: PairFiles) -> tuple[Pairs, Pairs]:
    check_usable(pairs, "train")
    advice = "give a dev file (data.dev) or another fraction (data.dev_fraction)"
    chosen = choose_rows(pairs.table, data.dev_fraction, data.seed, advice)
    rest = Pairs(pairs.table.filter(pa.array(~chosen)), pairs.where, pairs.findings)
    part = Pairs(pairs.table.filter(pa.array(chosen)), f"{pairs.where} ({data.dev_fraction:g} of it split off as dev)")
    return rest, part
