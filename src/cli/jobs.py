"""Jobs of a multirun (`-m`): a folder for each, and a failed one does not stop the others."""

import atexit
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from src.utils.errors import UserError
from src.utils.files import path_of

MISTAKE, INTERRUPTED = 2, 130
"""Exit codes."""


class Jobs:
    """The jobs of one command, a single one unless it is a multirun."""

    def __init__(self) -> None:
        self.swept: set[str] = set()
        """Keys with another value in each job."""
        self.failed: dict[str, bool] = {}
        """Each failed job by number and values, with whether its user can correct the error."""

    @contextmanager
    def job(self) -> Iterator[None]:
        """Run a job in the block; in a multirun, print and remember its error, unless it was interrupted."""
        try:
            yield
        except (Exception, SystemExit) as error:
            code = error.code if isinstance(error, SystemExit) else 1
            if not _is_multirun() or code == INTERRUPTED:
                raise
            if not isinstance(error, SystemExit):
                sys.excepthook(type(error), error, error.__traceback__)
            hydra = HydraConfig.get()
            values = [one for one in hydra.overrides.task if one.lstrip("+").partition("=")[0] in self.swept]
            self.failed[f"{hydra.job.num} ({' '.join(values)})"] = code == MISTAKE

    def check(self) -> None:
        """Raise `UserError` if jobs have failed; exit with code 1 if one of the errors was ours."""
        if not self.failed:
            return
        message = (
            f"expected every job to succeed, found that these failed: {', '.join(self.failed)}: see above for why."
        )
        if all(self.failed.values()):
            raise UserError(message)
        print(message, file=sys.stderr)
        sys.exit(1)


@cache
def scratch_folder() -> str:
    """Return a temporary folder for what Hydra writes about a multirun before its jobs are checked."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def job_folder(folder: str) -> str:
    """Return the absolute folder of a job: `folder`, in a multirun one of its own below `folder` or hydra.sweep.dir."""
    hydra = HydraConfig.get()
    if not _is_multirun():
        return str(path_of(folder).absolute())
    output = Path(hydra.runtime.output_dir)
    if not output.is_relative_to(scratch_folder()):
        return str(output)  # set with hydra.sweep.dir
    return str(path_of(folder).absolute() / "multirun" / output.relative_to(scratch_folder()))


def _is_multirun() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)
