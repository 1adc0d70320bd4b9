"""Overrides on the command line: the values of text settings reach Hydra as they were typed."""

import re
from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException

from src.config.schema import mapping_keys, text_keys

FOLDER, HYDRA_FOLDER = "folder", "hydra.run.dir"
"""The folder of the result, and Hydra's name for it; Hydra would make it before anything is checked."""
GROUPING = set("'\"[]{}()\\")
"""Characters between which a comma separates nothing."""
ITEM = re.compile(r"""("[^"]*"|'[^']*')|[^\s,:\[\]{}'"][^,:\[\]{}'"]*""")
"""A quoted text, which is the group, or another item of a list or mapping."""


def prepare_overrides(arguments: Iterable[str]) -> list[str]:
    """Return the arguments with values quoted where Hydra would misread them, and the result folder as `FOLDER`.

    Entries of mappings are added with ++, since Hydra would refuse model.prompts={query: "query: "}.
    """
    arguments = list(arguments)
    multirun = bool({"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments))
    named = (f"{FOLDER}={_value(one)}" if one.startswith(f"{HYDRA_FOLDER}=") else one for one in arguments)
    return [_add_entries(quote_value(one, multirun)) for one in named]


def quote_value(argument: str, multirun: bool = False) -> str:
    """Return an override, with its value quoted if Hydra would misread it; in a multirun, each value between commas.

    That is a value that Hydra cannot parse, as in pairs=문장.csv, one that it takes for a number, a truth value or a
    null where a text belongs, as in name=1.10, and a text in a mapping, such as a prompt, which may end with a blank.
    """
    key, _, value = argument.partition("=")
    if value[:1] in ("[", "{") and _parse(argument) is None:  # as with the text of another script in it
        return f"{key}={ITEM.sub(lambda item: item[0] if item[1] else _quote_item(item[0]), value)}"
    if argument.startswith(("-", "~")) or value[:1] in ("", *"'\"[{"):
        return argument
    if multirun and "," in value and not GROUPING & set(value):
        return f"{key}={','.join(_value(quote_value(f'{key}={one}')) for one in value.split(','))}"
    return f"{key}={QuotedString(value, Quote.double).with_quotes()}" if _is_misread(argument) else argument


def _quote_item(text: str) -> str:
    return text if text.isascii() else QuotedString(text.rstrip(), Quote.double).with_quotes()


def _add_entries(argument: str) -> str:
    key = argument.partition("=")[0]
    return f"++{argument}" if any(key == name or key.startswith(f"{name}.") for name in mapping_keys()) else argument


def _is_misread(override: str) -> bool:
    parsed = _parse(override)
    if parsed is None:
        return True
    key, value, texts = parsed.key_or_group, parsed.value(), text_keys()
    if mapping_keys().get(key.rpartition(".")[0], False):
        return True
    return (value is None and not texts.get(key, True)) or (isinstance(value, int | float) and key in texts)


def swept_keys(overrides: Iterable[str]) -> set[str]:
    """Return the keys with several values, one for each job of a multirun."""
    return {parsed.key_or_group for parsed in map(_parse, overrides) if parsed and parsed.is_sweep_override()}


def chosen_options(group: str, overrides: Iterable[str]) -> set[str]:
    """Return the options of a config group that the overrides choose, those of a multirun included."""
    found: set[str] = set()
    for parsed in filter(None, map(_parse, overrides)):
        if parsed.key_or_group == group:
            value = parsed.value()
            options = value.list if isinstance(value, ChoiceSweep) else value if isinstance(value, list) else [value]
            found |= {str(getattr(one, "text", one)) for one in options}
    return found


def override_key(override: str) -> str:
    """Return the key or config group of an override, empty if Hydra cannot read it."""
    parsed = _parse(override)
    return parsed.key_or_group if parsed else ""


def override_value(override: str) -> str:
    """Return the value of an override as text, without quotation marks."""
    parsed = _parse(override)
    value = parsed.value() if parsed else None
    return str(getattr(value, "text", value))


def _value(override: str) -> str:
    return override.partition("=")[2]


def _parse(override: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None
