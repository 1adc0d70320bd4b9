"""From the start of a run to its end, whatever that is."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from mlflow.entities import Param
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient

from src.config import Config
from src.config.tracking import TrackingConfig
from src.errors import Stopped
from src.tracking.run import Run
from src.tracking.store import flatten, open_store


@contextmanager
def start_run(config: Config, tags: dict[str, str], former: str | None = None) -> Iterator[Run]:
    """Open a run with all parameters of the configuration, or the `former` one again, for as long as the block lasts.

    It ends as FINISHED; as FAILED, with the reason in the tag `failure`, if an error leaves the block; as KILLED if the
    user interrupts it.
    """
    tracking = config.tracking
    client, experiment_id = open_store(tracking, config.name)
    run_id = former or _create_run(client, experiment_id, config, tags)
    client.update_run(run_id, status="RUNNING")
    monitor = SystemMetricsMonitor(run_id, sampling_interval=5) if tracking.system_metrics else None
    status = "FAILED"
    try:
        if monitor:
            monitor.start()
        yield Run(client, config, run_id)
        status = "FINISHED"
    except Stopped as stop:
        client.set_tag(run_id, "stopped", str(stop))
        status = "KILLED"
        raise
    except Exception as error:
        client.set_tag(run_id, "failure", f"{type(error).__name__}: {error}"[:5000])
        raise
    except BaseException:
        status = "KILLED"
        raise
    finally:
        if monitor:
            monitor.finish()
        client.set_terminated(run_id, status)


def known_run(config: Config, run_id: str | None) -> str | None:
    """Return the run id if the store has such a run, else None."""
    client, _ = open_store(config.tracking, config.name)
    with suppress(MlflowException):
        return str(client.get_run(run_id).info.run_id) if run_id else None
    return None


def _create_run(client: MlflowClient, experiment_id: str, config: Config, tags: dict[str, str]) -> str:
    """Return a new run's id; a run of the same folder that still counts as running was killed, and is marked so."""
    folder = str(Path(config.folder).resolve())
    for killed in client.search_runs([experiment_id], f"attributes.status = 'RUNNING' and tags.folder = '{folder}'"):
        client.set_terminated(killed.info.run_id, "KILLED")
    run_id = str(client.create_run(experiment_id, tags={**tags, "folder": folder}).info.run_id)
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in flatten(asdict(config))])
    return run_id


def log_files(uri: str, experiment: str, files: list[Path], tags: dict[str, str]) -> str:
    """Record files in a new, finished run of `experiment`, and return its id."""
    client, experiment_id = open_store(TrackingConfig(uri=uri), experiment)
    run_id = str(client.create_run(experiment_id, tags=tags).info.run_id)
    for file in files:
        client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)
    return run_id
