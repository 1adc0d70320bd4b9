"""Overrides on the command line: the values of text settings reach Hydra as they were typed."""

from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException

from src.config.schema import text_keys

FOLDER, HYDRA_FOLDER = "folder", "hydra.run.dir"
"""The folder of the result, and Hydra's name for it; Hydra would make it before anything is checked."""
GROUPING = set("'\"[]{}()\\")
"""Characters between which a comma separates nothing."""


def prepare_overrides(arguments: Iterable[str]) -> list[str]:
    """Return the arguments with values quoted where Hydra would misread them, and the result folder as `FOLDER`."""
    named = (f"{FOLDER}={_value(one)}" if one.startswith(f"{HYDRA_FOLDER}=") else one for one in arguments)
    return [quote_value(one) for one in named]


def quote_value(argument: str) -> str:
    """Return an override, with its value quoted if Hydra would misread it.

    That is a value that Hydra cannot parse, as in pairs=문장.csv, and one that it takes for a number, a truth value or
    a null where a text belongs, as in name=1.10.
    """
    key, _, value = argument.partition("=")
    if argument.startswith(("-", "~")) or value[:1] in ("", *"'\"[{"):
        return argument
    quoted = f"{key}={QuotedString(value, Quote.double).with_quotes()}"
    parsed = _parse(argument)
    if parsed is None:
        return quoted
    may_be_null = text_keys().get(parsed.key_or_group)
    if may_be_null is None:
        return argument
    found = parsed.value()
    if isinstance(found, ChoiceSweep) and not GROUPING & set(value):
        return f"{key}={','.join(_value(quote_value(f'{key}={one}')) for one in value.split(','))}"
    misread = isinstance(found, int | float) or (found is None and not may_be_null)
    return quoted if misread else argument


def chosen_options(group: str, overrides: Iterable[str]) -> set[str]:
    """Return the options of a config group that the overrides choose, those of a multirun included."""
    found: set[str] = set()
    for parsed in filter(None, map(_parse, overrides)):
        if parsed.key_or_group == group:
            value = parsed.value()
            options = value.list if isinstance(value, ChoiceSweep) else value if isinstance(value, list) else [value]
            found |= {str(getattr(one, "text", one)) for one in options}
    return found


def _value(override: str) -> str:
    return override.partition("=")[2]


def _parse(override: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None
