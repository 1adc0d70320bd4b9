"""What leaves a run other than by its end, and how it is told."""


def in_short(error: object, longest: int = 200) -> str:
    """Return what an error says, to be put into a sentence: on one line, cut to `longest`, without a full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class Stopped(Exception):
    """A training stopped on purpose before its end; its run is recorded as KILLED with the reason."""


class UserError(Exception):
    """A mistake the user can mend: one sentence with what was expected, what was found and what to do.

    The entry points print it without a traceback and leave with exit code 2.
    """


class Diverged(UserError):
    """A training whose losses, weights or predictions tell nothing any more; its run is recorded as FAILED.

    `what` happened is told apart from the `advice`, which is for somebody who trains once.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what, advice)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        """Return both as one sentence."""
        return f"{self.what}: {self.advice}."
