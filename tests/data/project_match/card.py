"""Sentences and labels of the published project_match model card, and their attributes."""

import re

from datasets import Dataset

from src.data.project_match import USAGE_POSTINGS, USAGE_PROFILE, Combination

CARD_PROFILE = re.compile(r"(?P<region>.+) 거주, (?P<years>.+) 개발자, 스택: (?P<stack>.+)\. 추가: (?P<extras>.+)")
CARD_POSTING = re.compile(
    r"(?P<region>.+) 지역 프로젝트, 요구 스택: (?P<stack>.+), 필요 경력: (?P<years>.+) 이상\. 특이사항: (?P<extras>.+)"
)
LABELLED = [
    (
        "경기도 거주, 1년 이하 개발자, 스택: Django. 추가: CS 전공자, 오프라인 중심",
        "대구광역시 지역 프로젝트, 요구 스택: Flask, 필요 경력: 4년차 이상. 특이사항: 팀 협업",
        0.4,
    ),
    (
        "충청북도 거주, 7년차 이상 개발자, 스택: React. 추가: 비전공자 환영, 온라인 중심",
        "충청북도 지역 프로젝트, 요구 스택: Spring Boot, 필요 경력: 4년차 이상."
        " 특이사항: CS 전공자 필수, 프로젝트 중심",
        0.0,
    ),
    (
        "경기도 거주, 1년 이하 개발자, 스택: Flask. 추가: 토이 프로젝트, 오프라인 중심",
        "경기도 지역 프로젝트, 요구 스택: Spring Boot, 필요 경력: 3년차 이상. 특이사항: 리서치 중심, 프로젝트 중심",
        0.0,
    ),
    (USAGE_PROFILE, USAGE_POSTINGS[0], 1.0),
    (USAGE_PROFILE, USAGE_POSTINGS[1], 0.0),
]
"""The labelled samples of the card, and its usage example."""
_MORE_PROFILES = [
    "충청북도 거주, 3년차 개발자, 스택: Spring Boot. 추가: 혼합",
    "전라북도 거주, 7년차 이상 개발자, 스택: Java. 추가: 스터디, 온라인 중심",
    "재택 거주, 1년차 개발자, 스택: Django. 추가: 오프라인 중심",
    "제주특별자치도 거주, 1년차 개발자, 스택: Django. 추가: 리서치 중심, 오프라인 중심",
]
_MORE_POSTINGS = [
    "부산광역시 지역 프로젝트, 요구 스택: JPA, 필요 경력: 5년차 이상. 특이사항: CS 전공자 필수, 팀 협업",
    "충청북도 지역 프로젝트, 요구 스택: JPA, 필요 경력: 1년차 이상. 특이사항: 프로젝트 중심",
    "제주특별자치도 지역 프로젝트, 요구 스택: Next.js, 필요 경력: 4년차 이상. 특이사항: 프로젝트 중심",
    "전라북도 지역 프로젝트, 요구 스택: React, 필요 경력: 4년차 이상. 특이사항: 리서치 중심, 팀 협업",
    "경기도 지역 프로젝트, 요구 스택: Python (Pandas), 필요 경력: 4년차 이상. 특이사항: 토이 프로젝트, 팀 협업",
    "재택 지역 프로젝트, 요구 스택: React, 필요 경력: 5년차 이상. 특이사항: 비전공자 환영, 프로젝트 중심",
    "경상남도 지역 프로젝트, 요구 스택: Flask, 필요 경력: 7년차 이상 이상. 특이사항: CS 전공자 필수, 팀 협업",
    "서울특별시 지역 프로젝트, 요구 스택: React, 필요 경력: 5년차 이상. 특이사항: 스터디, 팀 협업",
    "부산광역시 지역 프로젝트, 요구 스택: JPA, 필요 경력: 4년차 이상. 특이사항: CS 전공자 필수, 프로젝트 중심",
    "대구광역시 지역 프로젝트, 요구 스택: React, 필요 경력: 3년차 이상. 특이사항: 스터디, 프로젝트 중심",
    "제주특별자치도 지역 프로젝트, 요구 스택: Java, 필요 경력: 5년차 이상. 특이사항: 리서치 중심, 팀 협업",
    "제주특별자치도 지역 프로젝트, 요구 스택: React, 필요 경력: 5년차 이상. 특이사항: 리서치 중심, 팀 협업",
    "경기도 지역 프로젝트, 요구 스택: HTML/CSS/JS, 필요 경력: 4년차 이상. 특이사항: 프로덕트 중심, 프로젝트 중심",
]
PROFILES = sorted({pair[0] for pair in LABELLED} | {*_MORE_PROFILES})
POSTINGS = sorted({pair[1] for pair in LABELLED} | {*_MORE_POSTINGS})
"""All sentences of the card."""


def parse(form: re.Pattern[str], sentence: str) -> dict[str, str]:
    """Return region, years, stack and extras of a sentence."""
    match = form.fullmatch(sentence)
    assert match, sentence
    return match.groupdict()


def combination(form: re.Pattern[str], sentence: str) -> Combination:
    parts = parse(form, sentence)
    return Combination(parts["stack"], parts["region"], parts["years"])


def combinations(pairs: Dataset) -> list[set[Combination]]:
    return [
        {combination(form, sentence) for sentence in pairs[column]}
        for form, column in ((CARD_PROFILE, "sentence1"), (CARD_POSTING, "sentence2"))
    ]
