"""Trainings in processes of their own that take turns of a few steps, so that all meet the same state of the machine.

On a machine whose memory and caches others use too, the same step takes up to half as long again ten minutes later.
"""

import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from src.cli import hydra_command
from src.config import Config
from src.data import load_examples
from src.evaluation.result import Result
from src.utils.errors import UserError

if TYPE_CHECKING:
    from src.training import CurveRow

PLAIN = ("tracking.models=false", "tracking.system_metrics=false", "trainer.checkpoints=false", "trainer.resume=never")
"""Overrides that turn off everything outside the comparison."""
TURN = b"."
"""Message of the parent to a training: it may run; and of a training to the parent: it waits for its next turn."""


def train_in_turns(trainings: dict[str, list[str]], folder: Path) -> dict[str, Result]:
    """Train with each of these lists of overrides in a new process, in folder/NUMBER, and return the results.

    All trainings are in memory at the same time, and one of them runs at a time.

    Raises `UserError` with the last line of its error output if a training fails.
    """
    results = {}
    with ExitStack() as stack:
        waiting = deque(
            stack.enter_context(TrainingProcess(name, overrides, folder / str(number)))
            for number, (name, overrides) in enumerate(trainings.items())
        )
        while waiting:
            process = waiting.popleft()
            if process.run_turn():
                waiting.append(process)
            else:
                results[process.name] = process.result()
    return {name: results[name] for name in trainings}


class TrainingProcess:
    """A process that trains in turns, started and waiting for its first; it is killed on leaving the context."""

    def __init__(self, name: str, overrides: list[str], folder: Path) -> None:
        self.name, self.folder = name, folder
        locations = [
            f"folder={folder}",
            f"tracking.uri=sqlite:///{folder.parent.resolve()}/mlflow.db",
            f"tracking.artifacts={folder.parent}/artifacts",
        ]
        self.overrides = [*overrides, *PLAIN, *locations]
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.errors = folder.with_name(f"{folder.name}.err")
        self.channel, its_end = socket.socketpair()
        with its_end, self.errors.open("w") as errors:
            command = [sys.executable, "-m", __name__, *self.overrides]
            self.process = subprocess.Popen(command, stdin=its_end.fileno(), stdout=subprocess.DEVNULL, stderr=errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.channel.close()

    def run_turn(self) -> bool:
        """Let the training run until it waits for its next turn, and return True, or False if it has ended."""
        try:
            self.channel.sendall(TURN)
            return bool(self.channel.recv(1))
        except ConnectionError:  # it has ended without reading the message
            return False

    def result(self) -> Result:
        """Return the result of the training, which has ended; raise `UserError` if it has failed."""
        if code := self.process.wait():
            last = (self.errors.read_text(errors="replace").strip() or "no message").splitlines()[-1]
            raise UserError(
                f"expected python -m src.train {' '.join(self.overrides)} to succeed, found exit code {code}: {last}"
            )
        return Result.load(self.folder)


class TurnCallback:
    """Training callback that waits for the turns of this process, and measures how long."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.waited = 0.0
        """Seconds between turns so far."""

    def await_turn(self) -> None:
        """Return when the parent gives this process a turn; raise `KeyboardInterrupt` if the parent has ended."""
        given = b""
        with suppress(ConnectionError):
            given = self.channel.recv(1)
        if not given:
            raise KeyboardInterrupt

    def on_train_begin(self, steps: int, step: int) -> None:
        """End the turn in which the training was prepared."""
        self._end_turn()

    def on_step(self, step: int, values: dict[str, float]) -> None:
        """End the turn after every few steps."""
        self._end_turn()

    def on_evaluate(self, row: "CurveRow") -> None:
        """Go on: an evaluation is part of the turn of the steps after it."""

    def _end_turn(self) -> None:
        start = time.perf_counter()
        with suppress(ConnectionError):  # the parent has ended, as `await_turn` finds
            self.channel.sendall(TURN)
        self.await_turn()
        self.waited += time.perf_counter() - start


def run(config: Config) -> Result:
    """Train as configured, in turns that the parent process gives over stdin, and return the result."""
    callback = TurnCallback(socket.socket(fileno=sys.stdin.fileno()))
    callback.await_turn()
    examples = load_examples(config.data)
    # these import torch, which takes seconds
    from src.encoder import load_encoder
    from src.pipeline import run_training

    result = run_training(config, examples, load_encoder(config.model), [callback])
    seconds = result.train_seconds - callback.waited
    speed = result.pairs_per_second * result.train_seconds / seconds
    result = replace(result, train_seconds=seconds, pairs_per_second=speed)
    result.save(Path(config.folder))
    return result


if __name__ == "__main__":
    hydra_command(run)()
