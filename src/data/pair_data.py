"""What a source of pairs hands on: train, dev and where they come from."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from src.data.pairs import Pairs, shared_sentences, to_dataset
from src.errors import UserError

FEWEST = {"train": 2, "dev": 3}
"""Fewest pairs a split can be used with; a rank correlation of two pairs is always 1 or -1."""


@dataclass(frozen=True)
class Origin:
    """Where pairs come from, for tags and the model card."""

    name: str
    url: str | None
    license: str | None
    language: str
    note: str | None
    """What a reader has to know: that something is inferred, or no benchmark."""


@dataclass(frozen=True)
class PairData:
    """Pairs ready for training; each split has the columns sentence1, sentence2 (string) and score (double, 0..1)."""

    train: Dataset
    dev: Dataset
    test: Dataset | None
    source: str
    """Which source served: local, hub, sample or files."""
    origin: Origin
    findings: tuple[str, ...]
    """What is legal but odd, one sentence each."""

    @property
    def reported(self) -> Dataset:
        """The split that the final score is of: test where there is one, else dev."""
        return self.dev if self.test is None else self.test


def assemble(train: Pairs, dev: Pairs, source: str, origin: Origin, findings: tuple[str, ...] = ()) -> PairData:
    """Return both splits as data sets, with all findings; raise `UserError` where a split cannot be used."""
    check_usable(train, "train")
    check_usable(dev, "dev")
    found = (*findings, *train.findings, *dev.findings, *shared_sentences(train, dev))
    data = PairData(to_dataset(train.table), to_dataset(dev.table), None, source, origin, found)
    # Arrow keeps the memory of the checks for itself: at a million pairs three times what the pairs take.
    pa.default_memory_pool().release_unused()
    return data


def check_usable(pairs: Pairs, role: str, otherwise: str = "") -> None:
    """Raise `UserError` where the split (`role`: train or dev) has too few pairs or one score only.

    `otherwise`: what else can be done than to add pairs.
    """
    count = pairs.table.num_rows
    if count < FEWEST[role]:
        raise UserError(
            f"{pairs.where}: expected at least {FEWEST[role]} pairs for {role}, found {count}: add pairs to it"
            f"{otherwise}."
        )
    bounds = pc.min_max(pairs.table["score"]).as_py()
    if bounds["min"] == bounds["max"]:
        raise UserError(
            f"{pairs.where}, column 'score': expected different scores, found {bounds['min']:g} of 1 for all {count:,}"
            f" pairs of {role}, which leaves Spearman undefined and nothing to learn: add pairs with other scores"
            f"{otherwise}."
        )
