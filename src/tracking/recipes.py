"""Recipes in the store: trainings that differ only in their seed share the tag `recipe`, a hash followed by words."""

import re

from src.config.tracking import is_missing, redact, redact_message
from src.tracking.store import STORE_ERRORS, connect, limit_requests_outside_training
from src.tracking.tags import RECIPE
from src.utils.errors import UserError, shorten

HASH = re.compile("[0-9a-f]{4,8}")
"""The hash of a recipe, or its start."""
SHOWN = 5
"""Maximum number of candidates in a message."""
MAX_RUNS = 50_000
"""Maximum number of runs that MLflow returns at once."""
ADVICE = "see recipes with `make ui`, the runs of an experiment grouped by the tag `recipe`"


def find_recipe(given: str, uri: str) -> tuple[str, list[str]]:
    """Return the tag of a recipe, and the id of its latest finished run for each seed, in the order of the seeds.

    Seeds whose weights are averaged count as one. `given` is the hash, at least 4 digits of its start, or the whole
    tag. Runs of all experiments count.

    Raises `UserError` if there is no such recipe, or several, or the store cannot be read.
    """
    start = given.partition(" ")[0]
    if not HASH.fullmatch(start):
        raise UserError(
            f"recipe:{given}: expected the 8 hexadecimal digits of a recipe's hash, or at least the first 4,"
            f" found {start or 'nothing'}: {ADVICE}."
        )
    expected = f"recipe:{given}: expected a recipe with finished runs in {redact(uri)}"
    if is_missing(uri):
        raise UserError(f"{expected}, found no such store: check --uri.")
    try:
        found = _finished_runs(start, uri)
    except STORE_ERRORS as error:
        raise UserError(f"{expected}, found: {shorten(redact_message(str(error), uri))}: check --uri.") from error
    if not found:
        raise UserError(f"{expected}, found none: {ADVICE}.")
    if len(found) > 1:
        named = [tag for tag, _ in found.values()]
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        raise UserError(
            f"recipe:{given}: expected the start of one recipe's hash, found {len(named)} recipes"
            f" ({'; '.join(named[:SHOWN])}{more}): give more digits."
        )
    ((tag, by_seed),) = found.values()
    return tag, [by_seed[seed] for seed in sorted(by_seed, key=lambda seed: (len(seed), seed))]


def _finished_runs(start: str, uri: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Return for each hash that starts with these digits the latest tag, and the latest finished run by seed."""
    limit_requests_outside_training()
    client = connect(uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    condition = f"attributes.status = 'FINISHED' AND tags.{RECIPE} LIKE '{start}%'"
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for run in client.search_runs(
        experiments, condition, max_results=MAX_RUNS, order_by=["attributes.start_time DESC"]
    ):
        tag = run.data.tags[RECIPE]
        _, by_seed = found.setdefault(tag.partition(" ")[0], (tag, {}))
        seed, seeds = (run.data.params.get(f"trainer.{name}", "") for name in ("seed", "seeds"))
        by_seed.setdefault(seeds if seeds.strip("[]") else seed, run.info.run_id)
    return found
