"""Ctrl-C ends a command that waits for a process, whatever signal handlers the tracking library has brought along."""

import subprocess
import sys

import pytest

from src.cli import CONF

WAITING = """
import os, signal, subprocess

signal.siginterrupt(signal.SIGINT, False)  # as Polars does
import src.tracking

child = subprocess.Popen(["sleep", "60"])
try:
    subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -INT {os.getpid()}"])
    child.wait()
except KeyboardInterrupt:
    print("interrupted", child.poll())
finally:
    child.kill()
"""


@pytest.mark.slow
def test_ctrl_c_interrupts_waiting_for_a_process() -> None:
    done = subprocess.run([sys.executable, "-c", WAITING], cwd=CONF.parent, capture_output=True, text=True, timeout=50)
    assert done.stdout == "interrupted None\n"
