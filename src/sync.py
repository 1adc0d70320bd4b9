"""Send what runs recorded while their store was unreachable: python -m src.sync [FOLDER …] [uri=URI].

The default FOLDER is experiments/. It sends the entries that were written for the configured store
(MLFLOW_TRACKING_URI, else mlruns/), or for the store of the project in which they lie; with uri=URI, all entries go to
that store.
"""

import logging
from argparse import RawTextHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from src.cli import Parser, parser_command
from src.config.tracking import TrackingConfig, check_uri
from src.utils.errors import UserError, shorten

if TYPE_CHECKING:
    from src.tracking import SyncReport

URI = "uri="
EXPERIMENTS = Path("experiments")

log = logging.getLogger("src.sync")


def parser() -> Parser:
    """Return the parser of the command line."""
    usage = "python -m src.sync [FOLDER …] [uri=URI]"
    command = Parser("python -m src.sync", usage=usage, description=__doc__, formatter_class=RawTextHelpFormatter)
    command.add_argument("arguments", nargs="*", metavar="FOLDER | uri=URI", help="folder of experiments, store")
    return command


def run(arguments: Sequence[str | Path]) -> "list[SyncReport]":
    """Send the entries of all journals below the folders; log and return a report for each journal.

    Raises `UserError` if a folder does not exist, or a store did not accept all entries.
    """
    given = list(map(str, arguments))
    uris = [each.removeprefix(URI) for each in given if each.startswith(URI)]
    folders = [Path(each) for each in given if not each.startswith(URI)] or [EXPERIMENTS]
    for uri in uris:
        check_uri(uri, "uri")
    tracking = TrackingConfig(uri=uris[-1]) if uris else TrackingConfig()
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise UserError(f"{missing[0]}: expected the folder of an experiment, found none: name another one.")
    from src.tracking import sync_journals  # imports torch and MLflow, which takes seconds: after the check

    reports = []
    for folder in folders:
        for report in sync_journals(folder, tracking, named=bool(uris)):
            reports.append(report)
            log.info(describe(report))
    if not reports:
        log.info("No entries to send.")
    if behind := [report for report in reports if report.left]:
        raise _not_sent(behind)
    return reports


def describe(report: "SyncReport") -> str:
    """Return a report as one line of text."""
    if report.busy:
        return f"{report.folder}: open in another process, such as a training, which sends the entries itself"
    line = f"{report.folder}: run {report.run_id}, {report.sent} entries sent, {report.left} left"
    return line if report.ended else f"{line}; the run was interrupted: the same training command resumes it"


def _not_sent(behind: "list[SyncReport]") -> UserError:
    """Return the error to show for journals with entries left; a `UserError` of a journal says itself what to do."""
    problem, others = behind[0].problem, len(behind) - 1
    if isinstance(problem, UserError):
        return UserError(f"{problem}; {others} other journals have entries left" if others else str(problem))
    return UserError(
        f"expected stores that accept all entries, found {sum(report.left for report in behind)} entries not sent"
        f" ({shorten(problem, 300)}): run the same command again once the store answers."
    )


if __name__ == "__main__":
    parser_command(run, parser())()
