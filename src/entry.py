"""What the entry points share: Hydra in front, and one sentence for a user's mistake."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from datasets import disable_progress_bars
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from transformers.utils.logging import disable_progress_bar

from src.config import register_schemas, register_tuned, to_config
from src.config.predict import register_predict
from src.errors import UserError

CONF = Path(__file__).parent.parent / "conf"


def entry(run: Callable[[Any], Any], name: str = "config") -> Callable[[], None]:
    """Return the command of `run`: compose conf/`name`.yaml with the command line, check it, run.

    It leaves with exit code 2 and one sentence for a mistake of the user, 130 after an interruption; any other error
    keeps its traceback.
    """
    disable_progress_bar()
    disable_progress_bars()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach `command` below as they are
    if name == "predict":
        register_predict(CONF / "predict.yaml")
    else:
        register_schemas()
        register_tuned(Path("experiments"))

    @hydra.main(version_base="1.3", config_path=None if name == "predict" else str(CONF), config_name=name)
    def composed(config: DictConfig) -> None:
        with one_sentence():
            run(to_config(config))

    def command() -> None:
        sys.argv[1:] = map(quoted, sys.argv[1:])
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with one_sentence():
            composed()

    return command


def quoted(argument: str) -> str:
    """Return an override with its value in quotation marks where Hydra cannot read it without: pairs=문장.csv."""
    key, _, value = argument.partition("=")
    if argument.startswith("-") or value[:1] in ("", *"'\"[{"):
        return argument
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        escaped = value.replace('"', r"\"")
        return f'{key}="{escaped}"'
    return argument


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn a user's mistake into one sentence and exit code 2, an interruption into exit code 130."""
    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException) as error:
        print(_sentence(error), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


def _sentence(error: Exception) -> str:
    """Return the message on one line; Hydra's and OmegaConf's own have several, the cause among them."""
    cause = "" if isinstance(error, UserError) else error.__cause__ or ""
    given = f"{error.override}: " if isinstance(error, OverrideParseException) else ""
    lines = [line.strip() for line in f"{given}{error}\n{cause}".splitlines()]
    return " ".join(dict.fromkeys(line for line in lines if line and not line.startswith("object_type")))
