"""A server as a child process: check of its port, start, and the end of all its processes."""

import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from src.utils.errors import UserError, shorten

STOP_SECONDS = 10.0
"""Time that the server has to end by itself."""


def check_port(host: str, port: int) -> None:
    """Raise `UserError` unless the port is free."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        free = f"make ui PORT={port + 1 if port < 65535 else 5000}"
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            raise UserError(
                f"--port {port}: expected a port of {host} that this user may open, found {shorten(error)}: choose"
                f" another one, as in {free}."
            ) from error
        owner = "an MLflow server" if fetch(f"http://{host}:{port}/health") == "OK" else "another program"
        raise UserError(
            f"--port {port}: expected a free port, found it taken by {owner} (http://{host}:{port}): stop that one, or"
            f" choose another port, as in {free}."
        ) from error


def fetch(address: str) -> str | None:
    """Return the beginning of what a server answers, None if it does not."""
    try:
        with urlopen(address, timeout=2) as reply:
            return str(reply.read(100).decode(errors="replace")).strip()
    except (URLError, OSError, ValueError):
        return None


@contextmanager
def serving(command: list[str], environment: dict[str, str], health: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server for the duration of the block, which begins once it answers at `health`; end all of its processes.

    `environment`: variables besides those of this process.

    Raises `UserError` with the server's last lines if it ends before.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # it may start others by name
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            command,
            env={**os.environ, **environment, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only this process, which ends those of the server
        )
        try:
            while fetch(health) is None:
                if server.poll() is not None:
                    output.seek(0)
                    lines = output.read().decode(errors="replace").splitlines()
                    found = shorten(" / ".join(lines[-3:]), 500)
                    raise UserError(f"expected the server to start, found: {found}: correct that.")
                time.sleep(0.2)
            yield server
        finally:
            end_group(server)


def end_group(server: "subprocess.Popen[bytes]") -> None:
    """End the server and the processes that it has started, at the latest after `STOP_SECONDS`."""
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(seconds)
