"""The workers of a sweep on a Ray cluster (the optional extra `ray`)."""

from src.config import SweepSettings
from src.errors import UserError
from src.sweeping.workers import Work, share_of


def run_tasks(config: SweepSettings, parent_run: str, work: Work) -> None:
    """Run `work` in `sweep.workers` tasks of the Ray cluster, or of one on this machine, until all have ended.

    A task whose worker dies is run again elsewhere; its trial waits once its heart has stopped.

    Raises:
        UserError: Ray is not installed.

    """
    try:
        import ray
    except ImportError as error:
        raise UserError("sweep.engine=ray: expected Ray, found none: pip install -e '.[ray]'.") from error
    ray.init(ignore_reinit_error=True, log_to_driver=True, include_dashboard=False, configure_logging=False)
    share = share_of(config)
    task = ray.remote(num_cpus=share.trainer.threads or 1, max_retries=3)(work)
    ray.get([task.remote(share, parent_run) for _ in range(config.sweep.workers)])
