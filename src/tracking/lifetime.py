"""From the start of a run to its end, whatever that is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from filelock import Timeout

from src.config import Config
from src.config.tracking import TrackingConfig
from src.errors import Stopped, UserError
from src.provenance import flatten
from src.tracking.delivery import leave_former_runs
from src.tracking.journal import Journal, journal_of
from src.tracking.monitor import SystemMonitor
from src.tracking.outage import STORE_ERRORS, be_brief, is_outage, refusal, store_needed
from src.tracking.outbox import AT_LAST, Outbox
from src.tracking.run import Run
from src.tracking.store import open_store, run_named


@contextmanager
def start_run(config: Config, tags: dict[str, str], former: str | None = None, needed: bool = False) -> Iterator[Run]:
    """Open a run with all parameters of the configuration, or the `former` one again, for as long as the block lasts.

    It ends as FINISHED; as FAILED, with the reason in the tag `failure`, if an error leaves the block; as KILLED if the
    user interrupts it. If the store is away, all of it is kept in a journal in the folder of the configuration.

    Raises:
        UserError: the store is not away but wrongly named, or it is away and the run cannot do without it.

    """
    run = _open_run(config, tags, former, needed)
    monitor = SystemMonitor(run.note_metrics) if config.tracking.system_metrics else None
    status = "FAILED"
    try:
        if monitor:
            monitor.start()
        yield run
        status = "FINISHED"
    except Stopped as stop:
        run.set_tags({"stopped": str(stop)})
        status = "KILLED"
        raise
    except Exception as error:
        run.set_tags({"failure": f"{type(error).__name__}: {error}"})
        raise
    except BaseException:
        status = "KILLED"
        raise
    finally:
        if monitor:
            monitor.stop()
        run.end(status)


def known_run(config: Config, run_id: str | None) -> str | None:
    """Return the run id if the store has such a run, or is away, or a journal in the folder tells of it; else None."""
    if run_id is None or journal_of(Path(config.folder), run_id):
        return run_id
    be_brief()
    try:
        client, _ = open_store(config.tracking, config.name)
        return run_named(client, run_id)
    except STORE_ERRORS as error:
        return run_id if is_outage(error, config.tracking.uri) else None


def log_files(uri: str, experiment: str, files: list[Path], tags: dict[str, str]) -> str:
    """Record files in a new, finished run of `experiment`, and return its id.

    Raises:
        UserError: the store does not answer.

    """
    with store_needed(uri):
        client, experiment_id = open_store(TrackingConfig(uri=uri), experiment)
        run_id = str(client.create_run(experiment_id, tags=tags).info.run_id)
        for file in files:
            client.log_artifact(run_id, str(file))
        client.set_terminated(run_id)
    return run_id


def _open_run(config: Config, tags: dict[str, str], former: str | None, needed: bool) -> Run:
    be_brief()
    folder = Path(config.folder)
    if former is None:
        leave_former_runs(folder)
    known = journal_of(folder, former) if former else None
    try:
        journal = Journal(known) if known else Journal.create(folder, former, config.tracking, config.name)
    except Timeout:
        raise UserError(
            f"{known}: expected a journal that no other process has open, found one that does, such as python -m"
            " src.sync: wait for it and give the same command again."
        ) from None
    journal.append("open", new=former is None, tags={**tags, "folder": str(folder.resolve())})
    if former is None:
        journal.append("params", params={key: str(value) for key, value in flatten(asdict(config))})
    outbox = Outbox(journal)
    outbox.flush(AT_LAST)
    problem, uri = outbox.problem, journal.tracking.uri
    if problem and (needed or not is_outage(problem, uri)):
        journal.close(give_up=known is None)
        raise problem if isinstance(problem, UserError) else refusal(problem, uri) from problem
    return Run(outbox, config)
