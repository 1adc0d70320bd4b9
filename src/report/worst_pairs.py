"""HTML page of the pairs with the largest errors, with a Korean font embedded in it."""

import base64
import html
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pandas as pd
from fontTools import subset

from src.evaluation.slices import overlap
from src.utils.files import write_text
from src.utils.text import visible

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
<p>Gold: the gold score, 0 to 1. Predicted: cosine similarity. Overlap: Jaccard similarity of letter bigrams.</p>
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


def write_worst_pairs(pairs: pd.DataFrame, title: str, path: Path, count: int = 25) -> None:
    """Write the `count` pairs whose predicted score is farthest from gold, largest error first, as HTML."""
    error = pairs["predicted"] - pairs["gold"]
    worst = pairs.assign(error=error).loc[error.abs().nlargest(count).index]
    columns = (worst[name] for name in ("sentence1", "sentence2", "gold", "predicted", "error"))
    rows = "\n".join(_row(*values) for values in zip(*columns, strict=True))
    title = html.escape(title)
    write_text(path, PAGE.format(title=title, rows=rows, font=font_face(PAGE + title + rows, "Korean")))


def _row(first: str, second: str, gold: float, predicted: float, error: float) -> str:
    numbers = [f"{gold:.2f}", f"{predicted:.2f}", f"{error:+.2f}", f"{overlap(first, second):.2f}"]
    cells = [f"<td>{html.escape(visible(sentence))}</td>" for sentence in (first, second)]
    cells += [f'<td class="number">{number}</td>' for number in numbers]
    return f"<tr>{''.join(cells)}</tr>"


def korean_font() -> Path | None:
    """Return the font file of the package koreanize-matplotlib, None if the package is missing.

    The package itself is not imported: it would change the font of every later figure, and needs distutils.
    """
    package = find_spec("koreanize_matplotlib")
    return Path(package.origin).parent / "fonts" / "NanumGothic.ttf" if package and package.origin else None


def font_face(text: str, family: str) -> str:
    """Return a CSS rule with the glyphs of `text` as the font `family`; empty if there is no font file."""
    path = korean_font()
    if path is None:
        return ""
    options = subset.Options(hinting=False, notdef_outline=True)
    options.drop_tables += [f"TSI{number}" for number in range(6)]  # tables of the font editor, which cannot be subset
    font = subset.load_font(str(path), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(font)
    file = BytesIO()
    font.save(file)
    encoded = base64.b64encode(file.getvalue()).decode()
    return f'@font-face {{ font-family: "{family}"; src: url(data:font/ttf;base64,{encoded}); }}'
