"""Settings of the sources of training examples, one dataclass for each kind of source."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.model import TEXT_COLUMNS
from src.config.training import LossConfig
from src.utils.errors import UserError, require

KLUE_SOURCES = ("local", "hub", "sample")
KLUE_DOMAINS = ("airbnb", "policy", "paraKQC")
ALL_DOMAINS = "all"
QUOTING = ("auto", "none", "csv")
LONGEST_NAME = 50
"""Characters of the name of a set, which is part of the names of its metrics."""
SHAPES = ("auto", "scored", "positives", "triplets", "labelled")


@dataclass
class KlueSts:
    """KLUE-STS (Park et al., 2021), one of its domains or all, with labels 0 to 5 rescaled to scores 0 to 1."""

    name: str = "review_sts"
    domain: str = "airbnb"
    """KLUE's `source` without its suffix: airbnb, policy or paraKQC; all: the three together."""
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
    """A user's own examples: CSV, TSV, JSON, JSONL or Parquet files, or a Hub data set."""

    name: str = "pairs"
    train: str = "???"
    """Path of the training examples, or `owner/name` of a Hub data set."""
    dev: str | None = None
    """Path of the dev examples, or a split of the Hub data set; null: split off from train."""
    dev_fraction: float = 0.1
    """Share of train (0 to 1, exclusive) that becomes dev if `dev` is null."""
    hub_config: str | None = None
    """Configuration of the Hub data set."""
    hub_revision: str | None = None
    """Commit of the Hub data set."""
    shape: str = "auto"
    """scored, positives, triplets, labelled, or auto: by the columns of train. From pairs with labels, positives are
    the pairs with label 1, and triplets join a pair with label 1 and one with label 0 of the same sentence1."""
    sentence1: str = "sentence1"
    """Column of the first sentence; a nested field of JSON or Parquet has a dotted name, as `labels.real-label`."""
    sentence2: str = "sentence2"
    """Column of the second sentence."""
    score: str = "score"
    """Column of the similarity score."""
    label: str = "label"
    """Column of the label: 0 or 1, or an NLI label as word or number."""
    anchor: str = "anchor"
    """Column of the query."""
    positive: str = "positive"
    """Column of the text that fits the anchor, or of a list of such texts."""
    negative: str = "negative"
    """Column of a text that does not fit the anchor, or of a list; or columns of this name with _1, _2, … appended."""
    min_score: float = 0.0
    """Score of sentences with nothing in common; becomes 0."""
    max_score: float = 1.0
    """Score of sentences with the same meaning; becomes 1."""
    labels: dict[Any, Any] = field(default_factory=dict)
    """0, 1 or null (leave the rows out) for each label; empty: 0 and 1 as they are, of NLI labels entailment is 1, the
    others 0."""
    negatives: int | None = None
    """Negatives of a list that become columns; rows with fewer are left out. Empty: as many as the row with the fewest
    has."""
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
        require(self.shape in SHAPES, "data.shape", f"one of {list(SHAPES)}", self.shape)
        require(self.quoting in QUOTING, "data.quoting", f"one of {list(QUOTING)}", self.quoting)
        require(0 < self.dev_fraction < 1, "data.dev_fraction", "between 0 and 1", self.dev_fraction)
        require(math.isfinite(self.min_score), "data.min_score", "a finite number", self.min_score)
        valid = self.min_score < self.max_score and math.isfinite(self.max_score - self.min_score)
        require(valid, "data.max_score", f"above data.min_score {self.min_score} and finite", self.max_score)
        require(self.negatives is None or self.negatives > 0, "data.negatives", "at least 1", self.negatives)
        self.labels = {str(label).strip().lower(): value for label, value in self.labels.items()}
        valid = all(value is None or (type(value) is int and value in (0, 1)) for value in self.labels.values())
        require(valid, "data.labels", "0, 1 or null for each label", self.labels)
        require(0 <= self.seed < 2**32, "data.seed", "at least 0 and below 2**32", self.seed)


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


@dataclass
class ReviewSearch:
    """Search in the accommodation reviews written for this project (src/data/review_search)."""

    name: str = "review_search"
    seed: int = 42
    """Seed of the choice of queries, answers and negatives."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, "data.seed", "at least 0 and below 2**32", self.seed)


@dataclass
class MixturePart:
    """One set of a mixture."""

    data: Any = None
    """One of the dataclasses above."""
    loss: LossConfig = field(default_factory=LossConfig)
    weight: float = 1.0
    """Factor of its loss."""
    source: str | None = None
    """review_sts, project_match or review_search; null: files or a Hub data set."""

    def __post_init__(self) -> None:
        require(0 < self.weight < math.inf, "weight", "above 0 and finite", self.weight)
        require(self.source is None or self.source in BUILT_IN, "source", f"one of {list(BUILT_IN)}", self.source)


@dataclass
class Mixture:
    """Several sets of examples, each with its own shape, loss, weight and dev; a batch has examples of one set."""

    name: str = "mixture"
    sets: dict[str, Any] = field(default_factory=dict)
    """Settings by name of the set: those of data=pairs, and `loss` (a name, or settings as of `loss`), `weight` and
    `source` as in `MixturePart`."""
    primary: str | None = None
    """Name of the set whose metric leads; null: the first."""

    def __post_init__(self) -> None:
        require(bool(self.sets), "data.sets", "at least one set, as in data.sets={sts: {train: sts.tsv}}", self.sets)
        self.primary = self.primary or next(iter(self.sets))
        require(self.primary in self.sets, "data.primary", f"one of {list(self.sets)}", self.primary)
        self.parts()

    def parts(self, loss: LossConfig | None = None) -> dict[str, MixturePart]:
        """Return the sets by name, with the settings of `loss` that a set does not give and its own loss has.

        Raises `UserError` for an unknown key or an invalid value.
        """
        return {name: _part(name, settings, loss or LossConfig()) for name, settings in self.sets.items()}


BUILT_IN: dict[str, tuple[type, dict[str, Any]]] = {
    "review_sts": (KlueSts, {"local_folder": "${oc.env:KLUE_STS_DIR,null}"}),
    "project_match": (ProjectMatch, {}),
    "review_search": (ReviewSearch, {}),
}
"""Dataclass and settings of the sources that need no file."""


def qualify(message: str, where: str) -> str:
    """Return a message about the settings of `data` with the keys of one of several sets, such as data.sets.NAME."""
    keys = {each.name for kind in (PairFiles, KlueSts) for each in fields(kind)}
    return re.sub(rf"(?<![\w/.'])data\.(?=({'|'.join(keys)})\b)", f"{where}.", message)


def given_loss(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the loss that a set of a mixture gives: as a mapping, or only its name."""
    loss = settings.get("loss", {})
    return {"name": loss} if isinstance(loss, str) else loss


def _part(name: str, settings: Any, loss: LossConfig) -> MixturePart:
    expected = f"a mapping whose keys are at most {LONGEST_NAME} letters, digits and _, and no columns of texts"
    valid = re.fullmatch(r"\w+", name) and len(name) <= LONGEST_NAME and name not in TEXT_COLUMNS
    require(bool(valid), "data.sets", expected, name)
    require(isinstance(settings, dict), f"data.sets.{name}", "a mapping, as in {train: sts.tsv}", settings)
    given = given_loss(settings)
    require(isinstance(given, dict), f"data.sets.{name}.loss", "a name or a mapping, as in {name: mnrl}", given)
    own = {key: settings[key] for key in ("weight", "source") if key in settings}
    own["loss"] = loss.settings_for(given.get("name", loss.name)) | given
    part: MixturePart = _build(MixturePart, own, f"data.sets.{name}")
    part.data = build_source({"source": part.source} | _without(settings, own), f"data.sets.{name}")
    return part


def _without(settings: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}


def build_source(settings: dict[str, Any], where: str) -> Any:
    """Return the data configuration with these settings: of files, or with `source` of one that needs no file.

    Raises `UserError` naming the key after `where`, such as data.sets.NAME.
    """
    source = settings.get("source")
    require(source in (None, *BUILT_IN), f"{where}.source", f"one of {list(BUILT_IN)}", source)
    kind, defaults = BUILT_IN[source] if source else (PairFiles, {})
    return _build(kind, {**defaults, **_without(settings, ["source"])}, where)


def _build(kind: type, settings: dict[str, Any], where: str) -> Any:
    """Return the dataclass with these settings; raise `UserError` naming the key after `where`."""
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), settings))
    except OmegaConfBaseException as error:
        found = str(error).partition("\n")[0]
        raise UserError(f"{where}.{error.full_key or ''}: expected a valid setting, found: {found}.") from error
    except UserError as error:
        raise UserError(qualify(f"{where}.{str(error).removeprefix('data.')}", where)) from error
