"""Exceptions of the project, and checks that raise them for invalid settings."""

from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """An error that the user can correct; the message says what was expected, what was found and what to do.

    The commands print it without a traceback and exit with code 2.
    """


class TrainingStopped(Exception):
    """Raised to stop a training on purpose before its end; its run is recorded as KILLED with the reason."""


class TrainingDiverged(UserError):
    """Raised if a loss, weight or metric is not finite, or all predictions are equal; the run is recorded as FAILED.

    `problem` says what happened, `advice` what to do after a single training; a sweep reports only `problem`.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(problem, advice)
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        """Return `problem` and `advice` as one sentence."""
        return f"{self.problem}: {self.advice}."


def require(
    condition: bool,
    key: str,
    expected: str,
    found: Any,
    advice: str = "set another value on the command line or in conf/",
) -> None:
    """Raise `UserError` naming `key`, `expected` and `found`, with the advice, unless the condition is true."""
    if not condition:
        raise UserError(f"{key} must be {expected}, found {found!r}: {advice}.")


def require_fields(settings: Any, prefix: str, checks: Iterable[tuple[str, bool, str]]) -> None:
    """Raise `UserError` for the first field that fails; `checks`: name, condition and expected value of each field."""
    for name, condition, expected in checks:
        require(condition, f"{prefix}{name}", expected, getattr(settings, name))


def shorten(error: object, longest: int = 200) -> str:
    """Return an error's message for use inside a sentence: one line of at most `longest` characters, no full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
