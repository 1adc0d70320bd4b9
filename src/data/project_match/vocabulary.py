"""The words and the two sentence forms of the published project_match model card; README.md says where each stands."""

from itertools import product
from typing import NamedTuple


class Technology(NamedTuple):
    """What a stack is, as far as taking on work in another one goes."""

    language: str
    role: str


REMOTE = "재택"
REGIONS = (
    REMOTE,
    "서울특별시",
    "부산광역시",
    "대구광역시",
    "경기도",
    "강원도",
    "충청북도",
    "전라북도",
    "경상북도",
    "경상남도",
    "제주특별자치도",
)
YEARS = ("1년 이하", "1년차", "2년차", "3년차", "4년차", "5년차", "6년차", "7년차 이상")
"""Years of experience, the fewest first."""
REQUIRED_YEARS = YEARS[1:]
"""What a posting may require; "1년 이하 이상" (at least at most one year) would say nothing."""
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
