"""Checks that the configuration dataclasses share."""

from typing import Any

from src.errors import UserError


def require(held: bool, key: str, expected: str, found: Any) -> None:
    """Raise `UserError` naming the key, what was expected and what was found, unless `held`."""
    if not held:
        raise UserError(
            f"{key} must be {expected}, found {found!r}: set another value on the command line or in conf/."
        )
