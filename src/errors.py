"""The one kind of error a user is meant to read."""


class UserError(Exception):
    """A mistake the user can mend: one sentence with what was expected, what was found and what to do.

    The entry points print it without a traceback and leave with exit code 2.
    """
