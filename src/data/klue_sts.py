"""KLUE-STS (Park et al., 2021, https://arxiv.org/abs/2105.09680), one domain, from the first source that can serve."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from src.config.data import KlueSts
from src.data.columns import Columns, shown
from src.data.files import read_table
from src.data.hub_sets import Unavailable, read_hub
from src.data.pair_data import Origin, PairData, assemble
from src.data.pairs import Pairs, check_pairs
from src.errors import UserError

SAMPLE = Path(__file__).parent / "sample"
URL = "https://huggingface.co/datasets/klue/klue"
LICENSE = "cc-by-sa-4.0"
HUB_SPLITS = {"train": "train", "dev": "validation"}
CSV_COLUMNS = Columns(score="label", max_score=5, extra=("source",), rename="use KLUE's own columns", adjustable=False)
HUB_COLUMNS = Columns(
    score="labels.real-label", max_score=5, extra=("source",), rename="use KLUE's own columns", adjustable=False
)
INFERRED = (
    "KLUE-STS from a local copy in which the source column carries no suffix; in train it is inferred by a classifier"
    " there, while the data set on the Hub has the true column."
)
LOCAL = "KLUE-STS from a local copy."
WRITTEN = (
    "Pairs written for this project in the form of KLUE-STS, so that the main job runs without KLUE; no benchmark:"
    " scores on them compare with no published figure."
)


def load_klue_sts(data: KlueSts) -> PairData:
    """Return the pairs of `data.domain`; raise `UserError` where no source can serve or the one that does is broken."""
    skipped: list[str] = []
    for name in data.sources:
        try:
            train, dev, origin = SOURCES[name](data)
        except Unavailable as reason:
            skipped.append(f"{name}: {reason}")
            continue
        findings = (f"The pairs come from the source {name!r}, since {'; '.join(skipped)}.",) if skipped else ()
        return assemble(train, dev, name, origin, findings)
    raise UserError(
        f"expected a source of KLUE-STS that can serve, found none ({'; '.join(skipped)}): set KLUE_STS_DIR to a folder"
        " with train.csv and dev.csv, or data.sources=[local,hub,sample]."
    )


def _local(data: KlueSts) -> tuple[Pairs, Pairs, Origin]:
    if not data.local_folder:
        raise Unavailable("KLUE_STS_DIR (data.local_folder) is not set")
    folder = Path(data.local_folder).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"{folder}: expected a folder with train.csv and dev.csv (from KLUE_STS_DIR or data.local_folder), found"
            f" {'a file' if folder.exists() else 'nothing'}: correct the path or unset KLUE_STS_DIR."
        )
    tables = _read_folder(folder)
    note = INFERRED if pc.any(pc.equal(tables["train"]["source"], data.domain)).as_py() else LOCAL
    train, dev = (_select(table, str(folder / f"{split}.csv"), data, CSV_COLUMNS) for split, table in tables.items())
    return train, dev, Origin("KLUE-STS", URL, LICENSE, "ko", note)


def _sample(data: KlueSts) -> tuple[Pairs, Pairs, Origin]:
    if not (SAMPLE / "train.csv").is_file():
        raise Unavailable(f"the project's own pairs are not in {SAMPLE}")
    tables = _read_folder(SAMPLE)
    train, dev = (_select(table, str(SAMPLE / f"{split}.csv"), data, CSV_COLUMNS) for split, table in tables.items())
    return train, dev, Origin("written accommodation reviews", None, "cc0-1.0", "ko", WRITTEN)


def _hub(data: KlueSts) -> tuple[Pairs, Pairs, Origin]:
    name, revision = data.hub_name, data.hub_revision
    tables = {at: read_hub(name, "sts", at, revision, HUB_COLUMNS) for at in HUB_SPLITS.values()}
    train, dev = (_select(table, f"{name} ({split})", data, HUB_COLUMNS) for split, table in tables.items())
    return train, dev, Origin("KLUE-STS", f"https://huggingface.co/datasets/{name}", LICENSE, "ko", None)


def _read_folder(folder: Path) -> dict[str, pa.Table]:
    return {split: read_table(folder / f"{split}.csv", CSV_COLUMNS) for split in HUB_SPLITS}


def _select(table: pa.Table, where: str, data: KlueSts, columns: Columns) -> Pairs:
    """Return the checked pairs whose source is the domain or the domain with a suffix, such as airbnb-rtt."""
    source = table["source"]
    chosen = table.filter(pc.or_(pc.equal(source, data.domain), pc.starts_with(source, f"{data.domain}-")))
    if not chosen.num_rows:
        found = shown(sorted(str(name) for name in pc.unique(source).to_pylist()[:10]))
        raise UserError(
            f"{where}, column 'source': expected rows of {data.domain!r}, found {found}: set data.domain to one."
        )
    return check_pairs(chosen, where, columns)


SOURCES = {"local": _local, "hub": _hub, "sample": _sample}
