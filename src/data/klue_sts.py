"""Loader of KLUE-STS, by domain (Park et al., 2021, https://arxiv.org/abs/2105.09680), from several sources."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from src.config.data import ALL_DOMAINS, KLUE_DOMAINS, KlueSts
from src.data.checks import CheckedSplit, assemble, check_examples
from src.data.columns import require_columns, short_repr
from src.data.examples import ExampleSet, Provenance
from src.data.files import open_file, read_columns
from src.data.hub_sets import NoSource, Unavailable, dataset_url, read_hub
from src.data.layouts import Layout
from src.utils.errors import UserError
from src.utils.files import path_of

SAMPLE = Path(__file__).parent / "sample"
LICENSE = "cc-by-sa-4.0"
SENTENCES = {"sentence1": "sentence1", "sentence2": "sentence2"}
CSV_LAYOUT = Layout(columns={**SENTENCES, "score": "label"}, max_score=5, is_adjustable=False)
HUB_LAYOUT = replace(CSV_LAYOUT, columns={**SENTENCES, "score": "labels.real-label"})
FILES: dict[tuple[str, str], Layout] = {
    ("train.csv", "dev.csv"): CSV_LAYOUT,
    ("klue-sts-v1.1_train.json", "klue-sts-v1.1_dev.json"): HUB_LAYOUT,
}
"""Files of a local folder, the first ones found are used: a copy as CSV, or as published."""
LOCAL = "KLUE-STS from a local copy."
INFERRED = (
    "KLUE-STS from a local copy in which the source column has no suffix; in train it was inferred by a classifier,"
    " while the data set on the Hub has the true column."
)
WRITTEN = (
    "Pairs written for this project in the form of KLUE-STS, so that training runs without KLUE-STS; no benchmark:"
    " scores on them cannot be compared with published ones."
)

Tables = dict[str, pa.Table]
"""The train and dev tables, in this order, by file path or Hub split."""


def load_klue_sts(data: KlueSts) -> ExampleSet:
    """Return the pairs of `data.domain`; raise `UserError` if no source is available or the chosen one is invalid."""
    skipped: list[str] = []
    for source in data.sources:
        try:
            tables, layout, provenance = SOURCES[source](data)
        except Unavailable as reason:
            skipped.append(f"{source}: {reason}")
            continue
        train, dev = (_select_domain(table, where, data.domain, layout) for where, table in tables.items())
        warnings = (f"The pairs come from the source {source!r}, since {'; '.join(skipped)}.",) if skipped else ()
        return assemble(train, dev, source, provenance, warnings)
    raise NoSource(
        f"expected an available source of KLUE-STS, found none ({'; '.join(skipped)}): set KLUE_STS_DIR to a folder"
        " with train.csv and dev.csv, or data.sources=[local,hub,sample]."
    )


def _local(data: KlueSts) -> tuple[Tables, Layout, Provenance]:
    if not data.local_folder:
        raise Unavailable("KLUE_STS_DIR (data.local_folder) is not set")
    folder = path_of(data.local_folder)
    if not folder.is_dir():
        raise UserError(
            f"{folder}: expected a folder with train.csv and dev.csv, or with the published JSON files (from"
            f" KLUE_STS_DIR or data.local_folder), found {'a file' if folder.exists() else 'nothing'}: correct the path"
            " or unset KLUE_STS_DIR."
        )
    tables, layout = _read_folder(folder)
    train = next(iter(tables.values()))
    has_suffixes = not pc.any(pc.is_in(train["source"], pa.array(KLUE_DOMAINS))).as_py()
    note = LOCAL if has_suffixes else INFERRED
    return tables, layout, Provenance("KLUE-STS", dataset_url("klue/klue"), LICENSE, "ko", note)


def _hub(data: KlueSts) -> tuple[Tables, Layout, Provenance]:
    name = data.hub_name
    tables = {f"{name} ({split})": read_hub(name, "sts", split, data.hub_revision) for split in ("train", "validation")}
    return tables, HUB_LAYOUT, Provenance("KLUE-STS", dataset_url(name), LICENSE, "ko", None)


def _sample(data: KlueSts) -> tuple[Tables, Layout, Provenance]:
    if not (SAMPLE / "train.csv").is_file():
        raise Unavailable(f"the project's own pairs are not in {SAMPLE}")
    provenance = Provenance("written accommodation reviews", None, "cc0-1.0", "ko", WRITTEN)
    return *_read_folder(SAMPLE), provenance


def _read_folder(folder: Path) -> tuple[Tables, Layout]:
    found = [names for names in FILES if any((folder / name).exists() for name in names)]
    names = (found or list(FILES))[0]
    layout = FILES[names]
    columns = ["source", *layout.names]
    tables = {
        str(path): read_columns(open_file(path), columns, layout.advice) for path in map(folder.__truediv__, names)
    }
    return tables, layout


def _select_domain(table: pa.Table, where: str, domain: str, layout: Layout) -> CheckedSplit:
    """Return the checked pairs whose source is the domain, with or without a suffix as in airbnb-rtt, or of `all`."""
    require_columns(["source", *layout.names], table.column_names, where, layout.advice)
    if domain == ALL_DOMAINS:
        return check_examples(table, where, layout)
    source = table["source"]
    chosen = table.filter(pc.or_(pc.equal(source, domain), pc.starts_with(source, f"{domain}-")))
    if not chosen.num_rows:
        found = short_repr(sorted(str(name) for name in pc.unique(source).to_pylist()[:10]))
        raise UserError(
            f"{where}, column 'source': expected rows of {domain!r}, found {found}: set data.domain to one of these."
        )
    return check_examples(chosen, where, layout)


SOURCES = {"local": _local, "hub": _hub, "sample": _sample}
