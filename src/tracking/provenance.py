"""Tags that describe how a run was made: command, code, libraries, configuration, machine and user."""

import getpass
import os
import shlex
import sys
from pathlib import Path

from src.config import Config
from src.config.schema import config_hash
from src.config.tracking import redact_message
from src.utils.environment import device_name, dvc_state, git_state, library_versions
from src.utils.processes import world_size
from src.utils.text import visible

LONGEST_COMMAND = 1000
"""Number of characters of the longest recorded command."""


def run_tags(config: Config) -> dict[str, str]:
    """Return the tags of a run, with MLflow's own, which its UI shows as source, version and user."""
    user, git = user_name(), git_state()
    own = {"commit": git.get("git.commit"), "branch": git.pop("git.branch", None)}
    return {
        **git,
        **dvc_state(),
        **library_versions(),
        "config.hash": config_hash(config),
        "device": device_name(),
        "processes": str(world_size()),
        "user": user,
        "mlflow.user": user,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": command_line(sys.argv),
        **{f"mlflow.source.git.{name}": value for name, value in own.items() if value},
    }


def command_line(arguments: list[str]) -> str:
    """Return the command of this process without secrets: `python -m src.train …`; of any other program its name."""
    program = Path(arguments[0] if arguments and arguments[0] else "python")
    if program.suffix != ".py" or program.parent.name != "src":
        return visible(program.name)
    command = shlex.join(["python", "-m", f"src.{program.stem}", *map(_without_secrets, arguments[1:])])
    return visible(command if len(command) <= LONGEST_COMMAND else f"{command[: LONGEST_COMMAND - 1]}…")


def _without_secrets(argument: str) -> str:
    value = argument.partition("=")[2].strip("'\"")
    return redact_message(argument, value if "://" in value else "")


def user_name() -> str:
    """Return the name of the user, or the number of one without an entry in the system's list, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
