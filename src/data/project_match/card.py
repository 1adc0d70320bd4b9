"""The usage example of the published project_match model card."""

from src.data.project_match.rule import Combination

USAGE_PROFILE = "경상북도 거주, 2년차 개발자, 스택: Java. 추가: 비전공자, 온라인 중심"
USAGE_POSTINGS = (
    "경상북도 지역 프로젝트, 요구 스택: Java, 필요 경력: 1년차 이상. 특이사항: 스터디, 프로젝트 중심",
    "강원도 지역 프로젝트, 요구 스택: JPA, 필요 경력: 2년차 이상. 특이사항: 비전공자 환영, 프로젝트 중심",
)
"""The first meets the profile in all, the second in nothing that counts; the rule gives 1 and 0."""
PUBLISHED = (0.989, 0.049)
"""Similarities of the published model, which was trained on the first of the two pairs."""
USAGE_COMBINATIONS = {
    (Combination("Java", "경상북도", "2년차"), Combination("Java", "경상북도", "1년차")),
    (Combination("Java", "경상북도", "2년차"), Combination("JPA", "강원도", "2년차")),
}
"""What counts in the two pairs: never generated, so that a model is asked for pairs it has not seen in any wording."""
