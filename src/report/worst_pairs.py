"""HTML page of the cases with the largest errors, by shape of the examples, with a Korean font embedded in it."""

import html
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from src.evaluation.slices import overlap
from src.evaluation.statistics import best_threshold
from src.report.fonts import font_face
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
<p>{note}</p>
<table>
<thead>
<tr>{header}</tr>
</thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""
OVERLAP = "Overlap: Jaccard similarity of letter bigrams."


class Cases(NamedTuple):
    """The worst cases of a shape, the worst first; the names of the columns are the header."""

    title: str
    note: str
    """Meaning of the columns."""
    texts: pd.DataFrame
    numbers: pd.DataFrame
    """Numbers as they are shown."""


def write_worst_cases(predictions: pd.DataFrame, shape: str, experiment: str, path: Path, count: int = 25) -> None:
    """Write the `count` worst cases among an experiment's predictions as HTML."""
    cases = OF_SHAPE[shape](predictions, count)
    header = "".join(f"<th>{name}</th>" for name in (*cases.texts, *cases.numbers))
    rows = "\n".join(map(_row, cases.texts.to_numpy(), cases.numbers.to_numpy()))
    page = {"title": html.escape(f"{cases.title} of {experiment}"), "note": cases.note, "header": header, "rows": rows}
    write_text(path, PAGE.format(**page, font=font_face(PAGE + "".join(page.values()), "Korean")))


def _row(texts: Iterable[str], numbers: Iterable[str]) -> str:
    cells = [f"<td>{html.escape(visible(text))}</td>" for text in texts]
    cells += [f'<td class="number">{number}</td>' for number in numbers]
    return f"<tr>{''.join(cells)}</tr>"


def _far_from_gold(pairs: pd.DataFrame, count: int) -> Cases:
    """Return the pairs whose predicted score is farthest from the gold score."""
    error = pairs["predicted"] - pairs["gold"]
    note = f"Gold: the gold score, 0 to 1. Predicted: cosine similarity. {OVERLAP}"
    return Cases("Worst pairs", note, *_pairs(pairs, "gold", "{:.2f}", error, error.abs().nlargest(count).index))


def _on_the_wrong_side(pairs: pd.DataFrame, count: int) -> Cases:
    """Return the pairs farthest on the wrong side of the threshold that gives the best F1."""
    threshold = best_threshold(pairs["gold"].to_numpy(), pairs["predicted"].to_numpy()).similarity
    error = pairs["predicted"] - threshold
    wrong = error.where(pairs["gold"] == 0, -error)
    worst = wrong[wrong > 0].nlargest(count).index
    note = (
        f"Predicted: cosine similarity. Error: its distance from {threshold:.2f}, the threshold with the best F1, on"
        f" the wrong side of it. {OVERLAP}"
    )
    return Cases("Worst pairs", note, *_pairs(pairs, "label", "{:.0f}", error, worst))


def _pairs(
    pairs: pd.DataFrame, gold: str, form: str, error: pd.Series, chosen: pd.Index
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the texts and the numbers of the chosen pairs; `gold`: title of the column of gold scores or labels."""
    worst = pairs.loc[chosen]
    overlaps = map(overlap, worst["sentence1"], worst["sentence2"])
    numbers = {
        gold: worst["gold"].map(form.format),
        "predicted": worst["predicted"].map("{:.2f}".format),
        "error": error[chosen].map("{:+.2f}".format),
        "overlap": [f"{value:.2f}" for value in overlaps],
    }
    texts = worst[["sentence1", "sentence2"]].set_axis(["sentence 1", "sentence 2"], axis="columns")
    return texts, pd.DataFrame(numbers)


def _late_answers(queries: pd.DataFrame, count: int) -> Cases:
    """Return the queries whose right answer has the worst rank, of one rank those farthest behind a wrong candidate."""
    behind = queries["predicted_wrong"] - queries["predicted"]
    order = queries.assign(behind=behind).sort_values(["rank", "behind"], ascending=False, kind="stable")
    worst = order[order["rank"] > 1].head(count)
    names = {"anchor": "query", "positive": "right answer", "wrong": "best wrong candidate"}
    numbers = {
        "rank of the right answer": worst["rank"].map("{:,.0f}".format),
        "its cosine": worst["predicted"].map("{:.2f}".format),
        "cosine of the wrong one": worst["predicted_wrong"].map("{:.2f}".format),
    }
    note = "Queries whose right answer is not the first: the candidate of the highest cosine came before it."
    return Cases("Worst queries", note, worst[list(names)].rename(columns=names), pd.DataFrame(numbers))


OF_SHAPE: dict[str, Callable[[pd.DataFrame, int], Cases]] = {
    "scored": _far_from_gold,
    "labelled": _on_the_wrong_side,
    "positives": _late_answers,
    "triplets": _late_answers,
}
"""What is shown of each shape."""
