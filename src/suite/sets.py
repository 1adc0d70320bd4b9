"""Sets of a suite: their examples, and which sets are left out because they cannot be reached."""

from dataclasses import dataclass, replace
from typing import Any

from datasets import Dataset

from src.config.data import PairFiles, qualify
from src.config.evaluation import SuiteConfig, SuiteSet
from src.data import ExampleSet, load_examples
from src.data.files import FORMATS, suffix_of
from src.data.hub_sets import NoSource
from src.utils.errors import UserError, shorten
from src.utils.files import path_of


@dataclass(frozen=True)
class LoadedSet:
    """The examples of one set of a suite."""

    name: str
    split: str
    """dev or test: the evaluated split."""
    data: ExampleSet
    trains: bool
    """Whether the train split is other examples than the evaluated ones."""

    @property
    def examples(self) -> Dataset:
        """The evaluated split."""
        return self.data.splits[self.split]

    @property
    def described(self) -> str:
        """Where the examples come from, such as `KLUE-STS (local), dev`."""
        return f"{self.data.provenance.name} ({self.data.source}), {self.split}"


def load_sets(suite: SuiteConfig) -> tuple[list[LoadedSet], dict[str, str]]:
    """Return the sets that can be reached, and for each of the others by its name the reason why not.

    Raises `UserError` for a set with invalid examples, and for one without a dev or test split of that name.
    """
    loaded, left_out = [], {}
    for part in suite.parts():
        try:
            loaded.append(_load(part))
        except NoSource as reason:
            left_out[part.name] = shorten(reason, 500)
    return loaded, left_out


def _load(part: SuiteSet) -> LoadedSet:
    """Return a set from the first source that can be reached; raise `NoSource` naming them all if none can be."""
    reasons = []
    for source in part.sources:
        if len(part.sources) > 1 and (missing := _missing_file(source)):
            reasons.append(f"no file {missing}")
            continue
        try:
            return _choose_split(part, source, load_examples(source))
        except NoSource as error:
            reasons.append(shorten(error.__cause__ or error, 500))
        except UserError as error:
            message = qualify(str(error), f"suite.sets.{part.name}")
            raise UserError(message if part.name in message else f"set {part.name}: {message}") from error
    raise NoSource("; ".join(reasons))


def _missing_file(source: Any) -> str | None:
    """Return the first file of a source that does not exist, None for a source without files."""
    files = [name for name in (source.train, source.dev) if name] if isinstance(source, PairFiles) else []
    return next((name for name in files if suffix_of(path_of(name)) in FORMATS and not path_of(name).exists()), None)


def _choose_split(part: SuiteSet, source: Any, data: ExampleSet) -> LoadedSet:
    """Return the set with its evaluated split; the name of data from files is that of the file of this split."""
    if isinstance(source, PairFiles) and source.dev and data.source == "files":
        data = replace(data, provenance=replace(data.provenance, name=path_of(source.dev).name))
    split = part.split or ("dev" if data.test is None else "test")
    if split not in data.splits:
        raise UserError(
            f"suite.sets.{part.name}.split: expected one of {[name for name in data.splits if name != 'train']}, found"
            f" {split!r}: set another one."
        )
    return LoadedSet(part.name, split, data, part.trains)
