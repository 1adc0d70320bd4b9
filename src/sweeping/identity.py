"""What a sweep depends on: it is gone on with only if all of that is the same."""

from dataclasses import asdict

from src.config import SweepSettings
from src.errors import UserError
from src.provenance import PLACES, differences, without
from src.sweeping.study import SweepStudy

FREE_TO_CHANGE = (
    *PLACES,
    "published",
    "trainer.threads",
    "sweep.trials",
    "sweep.workers",
    "sweep.engine",
    "sweep.storage",
    "sweep.heartbeat",
    "sweep.failures",
    "sweep.confirm",
)
"""Settings that may differ from one start of a sweep to the next."""


def identity_of(config: SweepSettings, pairs: str) -> dict[str, str]:
    """Return what a sweep depends on by name: all settings that decide its result, and the digest of the pairs."""
    return {**without(asdict(config), FREE_TO_CHANGE), "pairs": pairs}


def stay_the_same(study: SweepStudy, identity: dict[str, str]) -> None:
    """Write down what the sweep depends on at its first start.

    Raises:
        UserError: it depends on something else now.

    """
    former = study.noted("identity")
    if former is None:
        study.note("identity", identity)
        return
    if changed := differences(former, identity):
        raise UserError(
            f"{study.url.split('@')[-1]} holds a sweep of other settings ({changed}): restore them to go on, or give"
            " the new sweep another name=NAME, or remove the old one."
        )
