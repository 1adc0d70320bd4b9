"""Settings of the sources of sentence pairs, one dataclass for each kind of source."""

import math
from dataclasses import dataclass, field

from src.utils.errors import require

KLUE_SOURCES = ("local", "hub", "sample")
QUOTING = ("auto", "none", "csv")


@dataclass
class KlueSts:
    """One of the three domains of KLUE-STS (Park et al., 2021), with labels 0 to 5 rescaled to scores 0 to 1."""

    name: str = "review_sts"
    domain: str = "airbnb"
    """KLUE's `source` without its suffix: airbnb, policy or paraKQC."""
    sources: list[str] = field(default_factory=lambda: list(KLUE_SOURCES))
    """Sources in order of preference; the first available one is used."""
    local_folder: str | None = None
    """Folder with train.csv and dev.csv (guid, source, sentence1, sentence2, label), or with the published JSON files;
    KLUE_STS_DIR by default."""
    hub_name: str = "klue/klue"
    hub_revision: str = "349481ec73fff722f88e0453ca05c77a447d967c"
    """Commit of the Hub data set."""

    def __post_init__(self) -> None:
        valid = bool(self.sources) and set(self.sources) <= set(KLUE_SOURCES)
        require(valid, "data.sources", f"a non-empty list of values from {list(KLUE_SOURCES)}", self.sources)


@dataclass
class PairFiles:
    """A user's own pairs: CSV, TSV, JSON, JSONL or Parquet files, or a Hub data set."""

    name: str = "pairs"
    train: str = "???"
    """Path of the training pairs, or `owner/name` of a Hub data set."""
    dev: str | None = None
    """Path of the dev pairs, or a split of the Hub data set; null: split off from train."""
    dev_fraction: float = 0.1
    """Share of train (0 to 1, exclusive) that becomes dev if `dev` is null."""
    hub_config: str | None = None
    """Configuration of the Hub data set."""
    hub_revision: str | None = None
    """Commit of the Hub data set."""
    sentence1: str = "sentence1"
    """Column of the first sentence; a nested field of JSON or Parquet has a dotted name, as `labels.real-label`."""
    sentence2: str = "sentence2"
    """Column of the second sentence."""
    score: str = "score"
    """Column of the similarity score."""
    min_score: float = 0.0
    """Score of sentences with nothing in common; becomes 0."""
    max_score: float = 1.0
    """Score of sentences with the same meaning; becomes 1."""
    quoting: str = "auto"
    """Meaning of quotation marks in CSV and TSV files. csv: they enclose values; none: they are part of the texts;
    auto: none for a TSV file with values that begin with a mark and are not enclosed, else csv without joined rows."""
    seed: int = 42
    """Seed of the split."""
    language: str = "ko"
    """Language code for the model card."""
    license: str | None = None
    """Licence of the data for the model card."""

    def __post_init__(self) -> None:
        require(self.quoting in QUOTING, "data.quoting", f"one of {list(QUOTING)}", self.quoting)
        require(0 < self.dev_fraction < 1, "data.dev_fraction", "between 0 and 1", self.dev_fraction)
        require(math.isfinite(self.min_score), "data.min_score", "a finite number", self.min_score)
        valid = self.min_score < self.max_score and math.isfinite(self.max_score - self.min_score)
        require(valid, "data.max_score", f"above data.min_score {self.min_score} and finite", self.max_score)


@dataclass
class ProjectMatch:
    """Pairs of developer profiles and project postings, generated and scored by a rule (src/data/project_match)."""

    name: str = "project_match"
    train_pairs: int = 1000
    """Pairs to train on; 10 to 20,000."""
    dev_pairs: int = 250
    """Pairs for evaluations during training; 10 to 1,000."""
    test_pairs: int = 250
    """Pairs for the final evaluation; 10 to 1,000."""
    seed: int = 42
    """Seed of the split and of the pairs."""

    def __post_init__(self) -> None:
        for key, most in (("train_pairs", 20_000), ("dev_pairs", 1000), ("test_pairs", 1000)):
            found = getattr(self, key)
            require(10 <= found <= most, f"data.{key}", f"between 10 and {most:,}", found)
        require(0 <= self.seed < 2**32, "data.seed", "at least 0 and below 2**32", self.seed)
