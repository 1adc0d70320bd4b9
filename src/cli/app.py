"""Entry points of the commands: arguments from Hydra or argparse, logging, one-sentence errors, exit codes.

Imports here are fast; commands import torch, transformers and MLflow only after checking their input.
"""

import errno
import os
import signal
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import current_thread, main_thread
from types import TracebackType
from typing import Any, NoReturn

import hydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.cli.jobs import INTERRUPTED, MISTAKE, Jobs, job_folder, scratch_folder
from src.cli.overrides import chosen_options, prepare_overrides, swept_keys
from src.cli.run_names import name_run
from src.config import register_schemas, register_tuned, to_config
from src.config.schema import GROUPLESS, register_groupless
from src.utils.console import ignore_output_errors, setup_logging
from src.utils.errors import UserError
from src.utils.text import visible

CONF = Path(__file__).parents[2] / "conf"
FILE_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""Errors of a file that is of another kind than expected, or belongs to another user."""


class Parser(ArgumentParser):
    """Argument parser that raises `UserError` for invalid arguments instead of exiting."""

    def error(self, message: str) -> NoReturn:
        """Raise `UserError` with the usage and the message."""
        usage = " ".join(self.format_usage().removeprefix("usage: ").split())
        raise UserError(f"expected {usage}, found a mistake: {message}")


def hydra_command(run: Callable[[Any], Any], name: str = "config") -> Callable[[], None]:
    """Return a function that composes conf/`name`.yaml with the command line, checks it and calls `run` with it."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra does not exit on an error but raises it
    groupless = name in GROUPLESS
    OmegaConf.register_new_resolver("scratch_folder", scratch_folder, replace=True)
    jobs = Jobs()

    @hydra.main(version_base="1.3", config_path=None if groupless else str(CONF), config_name=name)
    def composed(config: DictConfig) -> None:
        with jobs.job(), handle_errors():  # before Hydra reports a failed job in its own way
            settings = to_config(config)
            if not groupless:
                tracking = replace(settings.tracking, run_name=name_run(settings))
                settings = replace(settings, folder=job_folder(settings.folder), tracking=tracking)
            run(settings)

    def command() -> None:
        with _session():
            if groupless:
                register_groupless(CONF / f"{name}.yaml")
            else:
                register_schemas()
            sys.argv[1:] = prepare_overrides(sys.argv[1:])
            jobs.swept = swept_keys(sys.argv[1:])
            if not groupless:
                register_tuned(Path("experiments"), chosen_options("tuned", sys.argv[1:]))
            composed()
            jobs.check()

    return command


def parser_command(run: Callable[..., Any], parser: ArgumentParser) -> Callable[..., None]:
    """Return a function that parses its arguments, by default the command line, and calls `run` with the options."""

    def command(arguments: Sequence[str] | None = None) -> None:
        with _session():
            run(**vars(parser.parse_args(arguments)))

    return command


@contextmanager
def _session() -> Iterator[None]:
    if current_thread() is main_thread():  # a server that calls a command may do so in another thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored under nohup
            signal.signal(signal.SIGHUP, signal.default_int_handler)
    sys.excepthook = _print_traceback
    ignore_output_errors()
    setup_logging()
    with handle_errors():
        yield


@contextmanager
def handle_errors() -> Iterator[None]:
    """Print a user error in one sentence and exit with code 2; exit with code 130 after an interruption.

    So does an error of the file system that names a file and that its owner can correct. Other exceptions pass through.
    """
    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException) as error:
        _exit(_one_line(error), MISTAKE)
    except OSError as error:
        if error.errno not in FILE_ERRORS or error.filename is None:
            raise
        _exit(
            f"{error.filename}: expected a file or folder of the right kind that this user may read and write, found"
            f" {str(error.strerror).lower()}: move it, change its owner or mode, or choose another place.",
            MISTAKE,
        )
    except KeyboardInterrupt:
        _exit("Interrupted.", INTERRUPTED)


def _exit(message: str, code: int) -> NoReturn:
    print(visible(message), file=sys.stderr)
    sys.exit(code)


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(visible("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def _one_line(error: Exception) -> str:
    """Return the message and its cause on one line; those of Hydra and OmegaConf have several lines."""
    cause = "" if isinstance(error, UserError) else error.__cause__ or ""
    given = f"{error.override}: " if isinstance(error, OverrideParseException) else ""
    lines = [line.strip() for line in f"{given}{error}\n{cause}".splitlines()]
    return " ".join(dict.fromkeys(line for line in lines if line and not line.startswith("object_type")))
