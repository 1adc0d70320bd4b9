"""What passes on the operations of a run, at a bounded cost, whatever its store does."""

import time
from typing import Any

from src.tracking.journal import Journal
from src.tracking.sender import Sender

SHARE = 10
"""After an attempt to send, training goes on undisturbed for so many times as long as the attempt took."""
AT_ONCE = 2.0
"""Seconds of sending in between, after which the rest waits."""
AT_LAST = 60.0
"""Seconds of sending at the start and the end of a run."""
AFTER_FAILURE = 1.0
"""Seconds that a failed attempt counts at least."""


class Outbox:
    """Writes operations into the journal and sends them in their order, the oldest first."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.problem: Exception | None = None
        """Why the last attempt to send failed; None if it did not."""
        self.sender: Sender | None = None
        self.next_attempt = 0.0

    def put(self, name: str, **values: Any) -> None:
        """Write an operation down and pass it on."""
        self.journal.append(name, **values)
        self.pass_on()

    def pass_on(self) -> None:
        """Send what is pending, unless an attempt was made just before."""
        if time.monotonic() >= self.next_attempt:
            self.flush(AT_ONCE)

    def flush(self, seconds: float) -> None:
        """Send what is pending, for so many seconds at most and the request then under way.

        It raises nothing that the store or its client raises: the training is worth more.
        """
        start = time.monotonic()
        self.problem = None
        try:
            while self.journal.pending and time.monotonic() - start < seconds:
                self.sender = self.sender or Sender(self.journal)
                self.journal.confirm(self.sender.send(self.journal.pending[0]))
        except Exception as error:
            self.problem, self.sender = error, None  # what the store has got of it, the next sender finds out
        took = time.monotonic() - start
        self.next_attempt = time.monotonic() + SHARE * (max(took, AFTER_FAILURE) if self.problem else took)
