"""Send what runs recorded while their store was unreachable: python -m src.sync [FOLDER …], by default experiments/."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from src.cli import Parser, parser_command
from src.utils.errors import UserError, shorten

if TYPE_CHECKING:
    from src.tracking import SyncReport

log = logging.getLogger("src.sync")


def parser() -> Parser:
    """Return the parser of the command line."""
    command = Parser("python -m src.sync", usage="python -m src.sync [FOLDER …]", description=__doc__)
    command.add_argument(
        "folders", nargs="*", type=Path, default=[Path("experiments")], metavar="FOLDER", help="folder of experiments"
    )
    return command


def run(folders: list[Path]) -> "list[SyncReport]":
    """Send the entries of all journals below the folders; log and return a report for each journal.

    Raises `UserError` if a folder does not exist, or a store did not accept all entries.
    """
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise UserError(f"{missing[0]}: expected the folder of an experiment, found none: name another one.")
    from src.tracking import sync_journals  # imports torch and MLflow, which takes seconds: after the check

    reports = []
    for folder in folders:
        for report in sync_journals(folder):
            reports.append(report)
            log.info(describe(report))
    if not reports:
        log.info("No entries to send.")
    behind = [report for report in reports if report.left]
    if behind:
        raise UserError(
            f"expected stores that accept all entries, found {sum(report.left for report in behind)} entries not sent"
            f" ({shorten(behind[0].problem, 300)}): run the same command again once the store answers."
        )
    return reports


def describe(report: "SyncReport") -> str:
    """Return a report as one line of text."""
    if report.busy:
        return f"{report.folder}: open in another process, such as a training, which sends the entries itself"
    line = f"{report.folder}: run {report.run_id}, {report.sent} entries sent, {report.left} left"
    return line if report.ended else f"{line}; the run was interrupted: the same training command resumes it"


if __name__ == "__main__":
    parser_command(run, parser())()
