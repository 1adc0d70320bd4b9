"""The rule behind the scores: how well a developer profile meets a project posting.

0 where the stacks are not compatible; else 0.4, plus 0.3 where the region is met, plus 0.3 where the years suffice.
"""

from collections.abc import Callable
from typing import NamedTuple

from src.data.project_match.vocabulary import REMOTE, STACKS, YEARS


class Combination(NamedTuple):
    """What the score of a profile or a posting hangs on; the extras at the end of a sentence never count."""

    stack: str
    region: str
    years: str


def stacks_compatible(profile: str, posting: str) -> bool:
    """Return whether a developer of either stack can take on work in the other: same language, same role."""
    return STACKS[profile] == STACKS[posting]


def region_met(profile: str, posting: str) -> bool:
    """Return whether the regions are the same, or the developer or the project works remotely (재택)."""
    return profile == posting or REMOTE in (profile, posting)


def years_suffice(profile: str, posting: str) -> bool:
    """Return whether the profile has at least the years that the posting requires."""
    return YEARS.index(profile) >= YEARS.index(posting)


CRITERIA: dict[str, Callable[[str, str], bool]] = {
    "stack": stacks_compatible,
    "region": region_met,
    "years": years_suffice,
}
"""The criterion of each field of a `Combination`, a function of the profile's value and the posting's."""


def score(profile: Combination, posting: Combination) -> float:
    """Return the score of the pair: 0, 0.4, 0.7 or 1."""
    return score_of(*(holds(*values) for holds, *values in zip(CRITERIA.values(), profile, posting, strict=True)))


def score_of(stack: bool, region: bool, years: bool) -> float:
    """Return the score where each criterion is met or not."""
    return (4 + 3 * region + 3 * years) / 10 if stack else 0.0
