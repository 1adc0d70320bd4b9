"""The pairs a model gets most wrong, as a page for people to read."""

import html
from pathlib import Path

import pandas as pd

from src.files import replacing
from src.metrics.slices import overlap
from src.report.fonts import font_face

PAGE = """<!doctype html>
<html lang="ko">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
{font}
body {{ font-family: Korean, "Noto Sans KR", "Apple SD Gothic Neo", "Malgun Gothic", sans-serif; margin: 2rem; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 0.4rem 0.8rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Gold: the score people gave, 0 to 1. Predicted: cosine similarity. Overlap: share of letter pairs in common.</p>
<table>
<thead>
<tr><th>sentence 1</th><th>sentence 2</th><th>gold</th><th>predicted</th><th>error</th><th>overlap</th></tr>
</thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


COLUMNS = ["sentence1", "sentence2", "gold", "predicted", "error"]


def write_worst_pairs(pairs: pd.DataFrame, title: str, path: Path, count: int = 25) -> None:
    """Write the `count` pairs whose predicted score is farthest from gold, worst first, as HTML with its own font."""
    error = pairs["predicted"] - pairs["gold"]
    worst = error.abs().nlargest(count).index
    rows = "\n".join(_row(*each) for each in pairs.assign(error=error).loc[worst, COLUMNS].itertuples(index=False))
    with replacing(path) as draft:
        page = PAGE.format(title=html.escape(title), rows=rows, font="{font}")
        draft.write_text(page.replace("{font}", font_face(page, "Korean"), 1), encoding="utf-8")


def _row(first: str, second: str, gold: float, predicted: float, error: float) -> str:
    words = [html.escape(sentence) for sentence in (first, second)]
    numbers = [f"{gold:.2f}", f"{predicted:.2f}", f"{error:+.2f}", f"{overlap(first, second):.2f}"]
    cells = [*(f"<td>{text}</td>" for text in words), *(f'<td class="number">{number}</td>' for number in numbers)]
    return f"<tr>{''.join(cells)}</tr>"
