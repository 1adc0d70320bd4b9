"""Logging of the commands: plain messages on the terminal, messages with timestamps in a file.

Output on the terminal is best effort: no command fails because it cannot print.

Modules log to `logging.getLogger(__name__)`. The logger `src` has a handler for the terminal and, during a run, one for
the log file in its folder.
"""

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from src.utils.errors import TrainingStopped, UserError
from src.utils.processes import is_main_process
from src.utils.text import visible

LOGGER = logging.getLogger("src")
FILE_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
BOLD = {"style": "bold"}
"""Value of `extra=` in a log call to print the message in bold."""


class VisibleConsole(Console):
    """Console that prints names and sentences unchanged, except that control characters become visible."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text, without its control characters; rich calls this for every string it prints or measures."""
        return super().render_str(visible(text), **options)


console = VisibleConsole(highlight=False, markup=False, emoji=False)


class BestEffortFile(io.FileIO):
    """Standard stream that discards what cannot be written: the disk is full, the reader has gone, or it is closed."""

    def write(self, data: Any) -> int:
        """Write bytes; return their number in any case."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def ignore_output_errors() -> None:
    """Make standard output and standard error best effort, for `print` and libraries as well.

    Closed streams become the null device; otherwise the next file that is opened would take their place.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):  # neither a notebook's nor a test's
            raw = BestEffortFile(number, "w", closefd=False)
            options = {"encoding": stream.encoding, "errors": stream.errors} if stream else {}
            buffered = stream is None or stream.line_buffering
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(raw), **options, line_buffering=buffered))


class ConsoleHandler(logging.Handler):
    """Print messages to the terminal, warnings in yellow, and the `table` of a record, if it has one, instead."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        style = getattr(record, "style", "yellow" if record.levelno >= logging.WARNING else None)
        table = getattr(record, "table", None)
        if table is None:
            console.print(record.getMessage(), style=style, soft_wrap=True)
        else:
            console.print()
            console.print(table)


class LogFormatter(logging.Formatter):
    """Formatter of log files: a record with its time, control characters made visible."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return visible(super().format(record))


class LogFile(logging.FileHandler):
    """Append records to a file; a record that cannot be written (full disk) is dropped without an error."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        self.setFormatter(LogFormatter(FILE_FORMAT))

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore the error."""


def setup_logging() -> None:
    """Send the messages of the project to the terminal, in the main process of a training only.

    What the encoding of the terminal lacks is printed as a replacement.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    console.quiet = not is_main_process()
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    if not any(isinstance(handler, ConsoleHandler) for handler in LOGGER.handlers):
        LOGGER.addHandler(ConsoleHandler())


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Append the messages of the block to a file, and an exception that leaves the block as the last entry."""
    if not is_main_process():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = LogFile(path)
    except OSError as error:
        raise UserError(
            f"{path}: expected a file that can be appended to, found {error.strerror}: remove or rename it."
        ) from error
    LOGGER.addHandler(file)
    try:
        yield
    except (UserError, TrainingStopped) as error:
        file.handle(_error_record(str(error)))
        raise
    except Exception as error:
        file.handle(_error_record("Failed.", error))
        raise
    except BaseException:
        file.handle(_error_record("Interrupted."))
        raise
    finally:
        LOGGER.removeHandler(file)
        file.close()


def _error_record(message: str, error: Exception | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return LOGGER.makeRecord(LOGGER.name, logging.ERROR, __file__, 0, message, (), exc_info)


@contextmanager
def quiet_console() -> Iterator[None]:
    """Suppress the messages of the block on the terminal and in log files opened before."""
    quiet, console.quiet = console.quiet, True
    # without any handler, Python would write warnings to stderr
    handlers, LOGGER.handlers = LOGGER.handlers, [logging.NullHandler()]
    try:
        yield
    finally:
        console.quiet, LOGGER.handlers = quiet, handlers


def log_table(title: str, rows: dict[str, str]) -> None:
    """Log a title, names and values: as a table on the terminal, as aligned lines in the log file."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    width = max(map(len, rows), default=0)
    text = "\n".join([title, *(f"{name:{width}}  {value}" for name, value in rows.items())])
    LOGGER.info("%s", text, extra={"table": table})


def log_links(title: str, links: dict[str, str]) -> None:
    """Log a title, and a line for each name and address, which is never broken: a table would break a long one."""
    width = max(map(len, links), default=0)
    LOGGER.info("%s", "\n".join([title, *(f"  {name:{width}}  {address}" for name, address in links.items())]))


def relative_to_cwd(path: Path) -> Path:
    """Return the path relative to the working directory, unchanged if it is outside."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
