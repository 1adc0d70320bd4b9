"""State of a run (fingerprint, run id, completion), and the decision to resume it or to start a new one.

A single training run, a run with several seeds and a sweep each have one `RunState`: the first two in a file next to
their results, a sweep in the database of its study.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from src.config import Config
from src.config.schema import LOCATIONS, default_settings, describe_differences, settings_without
from src.data import ExampleSet, digest
from src.encoder import base_of
from src.evaluation.result import RESULT_FILE, Result, read_curve
from src.training.precision import choose_precision
from src.utils.errors import UserError, shorten
from src.utils.files import set_aside, write_text
from src.utils.processes import main_process_only, world_size

STATE_FILE = "state.json"
PRECISION = "trainer.precision"
THREADS = "trainer.threads"
SEEDS_RESULT = "trainer.seeds_result"
BASE = "base encoder"
PATHS = re.compile(r"data\.(sets\.\w+\.)?(train|dev|test)")
"""Settings that the digests of the examples stand for."""

Fingerprint = dict[str, str]
"""Everything a training depends on, by name: settings, digests of pairs and base encoder, number of processes, resolved
precision."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunState:
    """State of a run that is kept from one start of its command to the next."""

    fingerprint: Fingerprint
    run_id: str
    done: bool = False


@dataclass(frozen=True)
class StateStore:
    """Storage of one `RunState`: a file, or a user attribute of a study."""

    name: str
    """Name of the storage in error messages."""
    read: Callable[[], Any]
    write: Callable[[dict[str, Any]], None]
    path: Path | None = None
    """The file, if it is one."""

    def load(self) -> RunState | None:
        """Return the state, None if there is none or it is damaged; a damaged file is set aside.

        Raises `UserError` if it may not be read.
        """
        try:
            values = self.read()
            return RunState(dict(values["fingerprint"]), str(values["run_id"]), values["done"] is True)
        except PermissionError as error:
            raise UserError(
                f"{self.path}: expected a readable file, found {error.strerror}: change its mode, or give this run"
                " another name=NAME."
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            if self.path and self.path.exists():
                aside = set_aside(self.path)
                log.warning("%s is damaged (%s): it is now %s, and a new run starts", self.path, shorten(error), aside)
            return None

    def save(self, state: RunState) -> None:
        """Write the state in place of the former one."""
        self.write(asdict(state))


def state_file(folder: Path) -> StateStore:
    """Return the store in a folder's state.json; only the main process writes to it."""
    path = folder / STATE_FILE

    @main_process_only
    def write(values: dict[str, Any]) -> None:
        write_text(path, json.dumps(values, ensure_ascii=False))

    return StateStore(str(folder), lambda: json.loads(path.read_text(encoding="utf-8")), write, path)


@dataclass(frozen=True)
class RunPlan:
    """Decision of a command: its settings, and the run to resume, if any."""

    config: Any
    """The settings, with the precision resolved."""
    fingerprint: Fingerprint
    run_id: str | None
    """The run to resume; None: a new run starts."""
    keeps_parts: bool = False
    """Whether the parts that a former run has finished, such as its seeds, are parts of this one."""

    def state(self, run_id: str, done: bool = False) -> RunState:
        """Return the state of a run with this plan."""
        return RunState(self.fingerprint, run_id, done)


def fingerprint_of(config: Config, pairs: ExampleSet, excluded: Iterable[str] = LOCATIONS) -> Fingerprint:
    """Return the fingerprint of a training run; `excluded` settings may change from one start to the next."""
    digests = [f"{digest(each.train)} and {digest(each.dev)}" for each in (pairs, *pairs.others)]
    named = [f"{other.name}: {one}" for other, one in zip(pairs.others, digests[1:], strict=True)]
    settings = settings_without(asdict(config), excluded)
    base = base_of(config.model).digest
    found = {**settings, "pairs": "; ".join([digests[0], *named]), "processes": str(world_size())}
    return found | ({BASE: base} if base else {})


def resolve_precision(config: Any, former: RunState | None = None) -> Any:
    """Return the settings with precision `auto` replaced by that of a former state, else by `choose_precision`."""
    wanted = config.trainer.precision
    if wanted == "auto" and former and former.fingerprint.get(PRECISION) in ("fp32", "bf16"):
        wanted = former.fingerprint[PRECISION]
    return replace(config, trainer=replace(config.trainer, precision=choose_precision(wanted)))


def plan_run(
    config: Any,
    pairs: ExampleSet,
    store: StateStore,
    resume: str,
    advice: str,
    has_progress: bool = True,
    excluded: Iterable[str] = LOCATIONS,
    of_whole: Iterable[str] = (),
) -> RunPlan:
    """Return the plan to resume the run in `store` or to start a new one; changes nothing.

    An unfinished run with the same fingerprint is resumed, unless `resume` is never. If its fingerprint differs,
    if_same starts a new run; auto does so only if no progress would be lost, and raises otherwise. If only settings
    `of_whole`, which do not affect its parts, differ from those of a run, finished or not, a new run keeps the parts.

    Raises `UserError` if the unfinished run has another fingerprint; `advice` is the last part of the message.
    """
    former = None if resume == "never" else store.load()
    if former and (of_whole or not former.done):
        resumed = resolve_precision(config, former)
        fingerprint = fingerprint_of(resumed, pairs, excluded)
        changed = changes(former.fingerprint, fingerprint)
        if not changed and not former.done:
            return RunPlan(resumed, fingerprint, former.run_id, keeps_parts=True)
        if changed and not changes(former.fingerprint, fingerprint, of_whole):
            return RunPlan(resumed, fingerprint, None, keeps_parts=True)
        if has_progress and resume == "auto" and not former.done:
            raise UserError(f"{store.name} holds an unfinished run with other settings ({changed}): {advice}.")
    config = resolve_precision(config)
    return RunPlan(config, fingerprint_of(config, pairs, excluded), None)


def changes(former: Fingerprint, current: Fingerprint, ignored: Iterable[str] = ()) -> str:
    """Return the differences between two fingerprints as `name was X, is Y; …`, empty if there are none.

    The paths of the examples, and that of a base encoder with the same digest, may change. Earlier versions recorded no
    digest of the base encoder, and fewer settings: those that are new count as at their defaults.
    """
    bases = {former.get(BASE), current.get(BASE)}
    covered = {*ignored, *([BASE] if None in bases else ["model.path"] if len(bases) == 1 else [])}
    former = {name: default for name, default in default_settings().items() if name in current} | former
    compared = (
        {name: value for name, value in one.items() if name not in covered and not PATHS.fullmatch(name)}
        for one in (former, current)
    )
    return describe_differences(*compared)


def load_completed(folder: Path, fingerprint: Fingerprint) -> Result | None:
    """Return the result of a finished training in the folder with this fingerprint, None if there is none.

    The number of threads may differ. A result with a damaged file counts as none; the file is named and set aside.
    """
    state = state_file(folder).load()
    if state is None or not state.done or not (folder / RESULT_FILE).exists():
        return None
    return None if changes(state.fingerprint, fingerprint, [THREADS]) else _load_undamaged(folder)


def _load_undamaged(folder: Path) -> Result | None:
    path = folder / RESULT_FILE
    try:
        result = Result.load(folder)
        path = folder / "curve.csv"
        read_curve(folder, result.metric.name)
        path = folder / "predictions.parquet"
        result.metric.values(pd.read_parquet(path))
        return result
    except (UserError, OSError, ValueError, KeyError) as error:
        if isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError):
            raise
        aside = set_aside(path) if path.exists() else "missing"
        log.warning("%s is damaged (%s): it is now %s, and this training runs again", path, shorten(error), aside)
        return None
