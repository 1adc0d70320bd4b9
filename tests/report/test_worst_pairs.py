"""The page of the pairs with the largest errors: order, escaped markup, and glyphs for all its characters."""

import base64
import re
from io import BytesIO
from pathlib import Path

import pandas as pd
from fontTools.ttLib import TTFont

from src.report.worst_pairs import write_worst_cases


def glyphs(page: str) -> set[str]:
    """Return the characters of the font in a page."""
    (encoded,) = re.findall(r"@font-face .*base64,([^)]*)\)", page)
    return {chr(code) for code in TTFont(BytesIO(base64.b64decode(encoded))).getBestCmap()}


def test_worst_pairs_come_first_and_markup_stays_text(tmp_path: Path) -> None:
    gold = [i % 6 / 5 for i in range(40)]
    text = {"sentence1": [f"방 {i}번이 좋아요" for i in range(40)], "sentence2": ["숙소가 넓어요"] * 40}
    table = pd.DataFrame({**text, "gold": gold, "predicted": gold})
    table.loc[7, ["sentence1", "sentence2"]] = ["<script>alert(1)</script> 방", "방 & 숙소 {title}"]
    table.loc[7, ["gold", "predicted"]] = [1.0, -0.25]
    table.loc[9, ["gold", "predicted"]] = [0.0, 0.5]
    write_worst_cases(table, "scored", "<b>", tmp_path / "worst.html", count=25)
    page = (tmp_path / "worst.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr><td>.*</tr>", page)
    assert len(rows) == 25
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt; 방</td><td>방 &amp; 숙소 {title}</td>" in rows[0]
    assert [re.findall(r'number">([^<]*)', row)[:3] for row in rows[:2]] == [
        ["1.00", "-0.25", "-1.25"],
        ["0.00", "0.50", "+0.50"],
    ]
    assert glyphs(page) >= {"방", "숙", "소", "1"}
    assert "<script>" not in page and "<b>" not in page and 'charset="utf-8"' in page


def cells(path: Path) -> list[list[str]]:
    """Return the rows of the table in a page."""
    rows = re.findall(r"<tr><td>.*</tr>", path.read_text(encoding="utf-8"))
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in rows]


def test_of_queries_those_with_the_latest_right_answer_come_first(tmp_path: Path) -> None:
    table = pd.DataFrame(
        [
            ["방이 조용한가요?", "조용해요", 1, 0.9, "넓어요", 0.8],
            ["역에서 먼가요?", "가까워요", 3, 0.5, "비싸요", 0.75],
            ["주차가 되나요?", "주차장이 있어요", 3, 0.5, "방이 커요", 0.9],
            ["조식이 있나요?", "아침을 줘요", 12, 0.4, "저녁만 있어요", 0.7],
        ],
        columns=["anchor", "positive", "rank", "predicted", "wrong", "predicted_wrong"],
    )
    write_worst_cases(table, "triplets", "search", tmp_path / "worst.html")
    assert "Worst queries of search" in (tmp_path / "worst.html").read_text(encoding="utf-8")
    assert cells(tmp_path / "worst.html") == [
        ["조식이 있나요?", "아침을 줘요", "저녁만 있어요", "12", "0.40", "0.70"],
        ["주차가 되나요?", "주차장이 있어요", "방이 커요", "3", "0.50", "0.90"],
        ["역에서 먼가요?", "가까워요", "비싸요", "3", "0.50", "0.75"],
    ]


def test_of_labelled_pairs_those_farthest_on_the_wrong_side_come_first(tmp_path: Path) -> None:
    gold, predicted = [1, 1, 1, 0, 0, 0, 1], [0.9, 0.8, 0.7, 0.2, 0.1, 0.75, 0.05]
    text = {"sentence1": list("가나다라마바사"), "sentence2": list("abcdefg")}
    write_worst_cases(
        pd.DataFrame({**text, "gold": gold, "predicted": predicted}), "labelled", "x", tmp_path / "worst.html"
    )
    found = cells(tmp_path / "worst.html")  # F1 is highest from 0.7 on
    assert [row[:5] for row in found] == [["사", "g", "1", "0.05", "-0.65"], ["바", "f", "0", "0.75", "+0.05"]]
