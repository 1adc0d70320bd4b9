"""The page of the pairs with the largest errors: order, escaped markup, and glyphs for all its characters."""

import base64
import re
from io import BytesIO
from pathlib import Path

import pandas as pd
from fontTools.ttLib import TTFont

from src.report.worst_pairs import write_worst_pairs


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
    write_worst_pairs(table, "<b>", tmp_path / "worst.html", count=25)
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
