"""Vocabulary, sentence templates and scoring rule of project_match; README.md gives the sources."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple


class Technology(NamedTuple):
    """Language and role of a stack, which determine its compatibility."""

    language: str
    role: str


class Combination(NamedTuple):
    """Attributes of a profile or posting that determine the score; the extras of the sentence do not affect it."""

    stack: str
    region: str
    years: str


REMOTE = "재택"
REGIONS = (
    REMOTE, "서울특별시", "부산광역시", "대구광역시", "경기도", "강원도",
    "충청북도", "전라북도", "경상북도", "경상남도", "제주특별자치도",
)  # fmt: skip
YEARS = ("1년 이하", "1년차", "2년차", "3년차", "4년차", "5년차", "6년차", "7년차 이상")
"""Years of experience, the fewest first."""
REQUIRED_YEARS = YEARS[1:]
"""Years that a posting may require; "1년 이하 이상" (at least at most one year) would be meaningless."""
STACKS = {
    "Java": Technology("Java", "language"),
    "Spring Boot": Technology("Java", "server framework"),
    "JPA": Technology("Java", "persistence"),
    "Django": Technology("Python", "server framework"),
    "Flask": Technology("Python", "server framework"),
    "Python (Pandas)": Technology("Python", "data analysis"),
    "React": Technology("JavaScript", "component framework"),
    "Next.js": Technology("JavaScript", "component framework"),
    "HTML/CSS/JS": Technology("JavaScript", "plain web page"),
}

PROFILE = "{region} 거주, {years} 개발자, 스택: {stack}. 추가: {extras}"
POSTING = "{region} 지역 프로젝트, 요구 스택: {stack}, 필요 경력: {years} 이상. 특이사항: {extras}"
PROFILE_EXTRAS = tuple(
    f"{topic}{mode}"
    for topic, mode in product(
        ("", "CS 전공자, ", "비전공자, ", "비전공자 환영, ", "스터디, ", "리서치 중심, ", "토이 프로젝트, "),
        ("온라인 중심", "오프라인 중심", "혼합"),
    )
)
POSTING_EXTRAS = tuple(
    f"{topic}{mode}"
    for topic, mode in product(
        ("", "CS 전공자 필수, ", "비전공자 환영, ", "스터디, ", "리서치 중심, ", "토이 프로젝트, ", "프로덕트 중심, "),
        ("팀 협업", "프로젝트 중심"),
    )
)

USAGE_PROFILE = "경상북도 거주, 2년차 개발자, 스택: Java. 추가: 비전공자, 온라인 중심"
USAGE_POSTINGS = (
    "경상북도 지역 프로젝트, 요구 스택: Java, 필요 경력: 1년차 이상. 특이사항: 스터디, 프로젝트 중심",
    "강원도 지역 프로젝트, 요구 스택: JPA, 필요 경력: 2년차 이상. 특이사항: 비전공자 환영, 프로젝트 중심",
)
"""Usage example of the model card; the first posting meets every criterion and the second none: scores 1 and 0."""
USAGE_COMBINATIONS = {
    (Combination("Java", "경상북도", "2년차"), Combination("Java", "경상북도", "1년차")),
    (Combination("Java", "경상북도", "2년차"), Combination("JPA", "강원도", "2년차")),
}
"""The two pairs of the usage example, excluded from the generated pairs, so that no model trains on them."""
PUBLISHED = (0.989, 0.049)
"""Similarities of the two pairs by the published model, which was trained on the first."""


def stacks_compatible(profile: str, posting: str) -> bool:
    """Return True if the stacks have the same language and role, so that a developer of one can work in the other."""
    return STACKS[profile] == STACKS[posting]


def region_met(profile: str, posting: str) -> bool:
    """Return True if the regions are the same, or the developer or the project works remotely (재택)."""
    return profile == posting or REMOTE in (profile, posting)


def years_suffice(profile: str, posting: str) -> bool:
    """Return True if the profile has at least the years that the posting requires."""
    return YEARS.index(profile) >= YEARS.index(posting)


CRITERIA: dict[str, Callable[[str, str], bool]] = {
    "stack": stacks_compatible,
    "region": region_met,
    "years": years_suffice,
}
"""For each field of a `Combination`, whether the values of a profile and a posting meet its criterion."""


def score(profile: Combination, posting: Combination) -> float:
    """Return the gold score of the pair: 0, 0.4, 0.7 or 1."""
    return score_of(*(is_met(*values) for is_met, *values in zip(CRITERIA.values(), profile, posting, strict=True)))


def score_of(stack: bool, region: bool, years: bool) -> float:
    """Return the gold score for the criteria, True if met."""
    return (4 + 3 * region + 3 * years) / 10 if stack else 0.0
