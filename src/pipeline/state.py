"""State of a run (fingerprint, run id, completion), and the decision to resume it or to start a new one.

A single training run, a run with several seeds and a sweep each have one `RunState`: the first two in a file next to
their results, a sweep in the database of its study.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from src.config import Config
from src.config.schema import LOCATIONS, describe_differences, settings_without
from src.data import PairData, digest
from src.evaluation.result import RESULT_FILE, Result
from src.training.precision import choose_precision
from src.utils.errors import UserError
from src.utils.files import write_text
from src.utils.processes import main_process_only, world_size

STATE_FILE = "state.json"
PRECISION = "trainer.precision"
THREADS = "trainer.threads"

Fingerprint = dict[str, str]
"""Everything a training depends on, by name: settings, digest of the pairs, number of processes, resolved precision."""


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

    def load(self) -> RunState | None:
        """Return the state, None if there is none or it is damaged."""
        try:
            values = self.read()
            return RunState(dict(values["fingerprint"]), str(values["run_id"]), values["done"] is True)
        except (OSError, ValueError, KeyError, TypeError):
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

    return StateStore(str(folder), lambda: json.loads(path.read_text(encoding="utf-8")), write)


@dataclass(frozen=True)
class RunPlan:
    """Decision of a command: its settings, and the run to resume, if any."""

    config: Any
    """The settings, with the precision resolved."""
    fingerprint: Fingerprint
    run_id: str | None
    """The run to resume; None: a new run starts."""

    def state(self, run_id: str, done: bool = False) -> RunState:
        """Return the state of a run with this plan."""
        return RunState(self.fingerprint, run_id, done)


def fingerprint_of(config: Config, pairs: PairData, excluded: Iterable[str] = LOCATIONS) -> Fingerprint:
    """Return the fingerprint of a training run; `excluded` settings may change from one start to the next."""
    digests = f"{digest(pairs.train)} and {digest(pairs.dev)}"
    settings = settings_without(asdict(config), excluded)
    return {**settings, "pairs": digests, "processes": str(world_size())}


def resolve_precision(config: Any, former: RunState | None = None) -> Any:
    """Return the settings with precision `auto` replaced by that of a former state, else by `choose_precision`."""
    wanted = config.trainer.precision
    if wanted == "auto" and former and former.fingerprint.get(PRECISION) in ("fp32", "bf16"):
        wanted = former.fingerprint[PRECISION]
    return replace(config, trainer=replace(config.trainer, precision=choose_precision(wanted)))


def plan_run(
    config: Any,
    pairs: PairData,
    store: StateStore,
    resume: str,
    advice: str,
    has_progress: bool = True,
    excluded: Iterable[str] = LOCATIONS,
) -> RunPlan:
    """Return the plan to resume the run in `store` or to start a new one; changes nothing.

    An unfinished run with the same fingerprint is resumed, unless `resume` is never. If its fingerprint differs,
    if_same starts a new run; auto does so only if no progress would be lost, and raises otherwise.

    Raises `UserError` if the unfinished run has another fingerprint; `advice` is the last part of the message.
    """
    former = None if resume == "never" else store.load()
    if former and not former.done:
        resumed = resolve_precision(config, former)
        fingerprint = fingerprint_of(resumed, pairs, excluded)
        changed = describe_differences(former.fingerprint, fingerprint)
        if not changed:
            return RunPlan(resumed, fingerprint, former.run_id)
        if has_progress and resume == "auto":
            raise UserError(f"{store.name} holds an unfinished run with other settings ({changed}): {advice}.")
    config = resolve_precision(config)
    return RunPlan(config, fingerprint_of(config, pairs, excluded), None)


def load_completed(folder: Path, fingerprint: Fingerprint) -> Result | None:
    """Return the result of a finished training in the folder with this fingerprint, None if there is none.

    The number of threads may differ.
    """
    state = state_file(folder).load()
    if state is None or not state.done or not (folder / RESULT_FILE).exists():
        return None
    former, current = ({**one, THREADS: ""} for one in (state.fingerprint, fingerprint))
    return Result.load(folder) if former == current else None
