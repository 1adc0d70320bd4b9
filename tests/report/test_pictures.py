"""Pictures of a run: all are drawn, Korean renders, and the page of worst pairs is safe to open."""

import base64
import re
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fontTools.ttLib import TTFont
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from src.metrics.statistics import Interval
from src.report import plots
from src.report.pictures import PICTURES, draw
from src.report.plots import new_figure, plot_curve, save
from src.report.worst_pairs import write_worst_pairs

METRICS = {"spearman_cosine": 0.8, "spearman_cosine_low": 0.7, "spearman_cosine_high": 0.9, "experiment": "reviews"}


def pairs(count: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    gold = rng.integers(0, 6, count) / 5
    text = {"sentence1": [f"방 {i}번이 좋아요" for i in range(count)], "sentence2": ["숙소가 넓어요"] * count}
    return pd.DataFrame({**text, "gold": gold, "predicted": gold + rng.normal(0, 0.1, count)})


def curve(rows: int = 4) -> pd.DataFrame:
    columns = ["epoch", "step", "training_loss", "validation_loss", "spearman_cosine", "pearson_cosine"]
    return pd.DataFrame([[0.1 * i, i, 0.2, 0.1, 0.5 + i / 10, 0.5] for i in range(1, rows + 1)], columns=columns)


@pytest.mark.parametrize(("count", "evaluated_on", "published"), [(60, "dev", 0.8555), (3, "test", None)])
def test_every_picture_is_drawn(count: int, evaluated_on: str, published: float | None, tmp_path: Path) -> None:
    pairs(count).to_parquet(tmp_path / "predictions.parquet")
    curve().to_csv(tmp_path / "curve.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(tmp_path, {**METRICS, "evaluated_on": evaluated_on}, 42, published)
    written = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "plots").iterdir())
    assert written == sorted(PICTURES)
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in PICTURES if name.endswith(".png"))


def test_drawing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        plot_curve(curve(), (0.9, Interval(0.8, 0.95)), 0.8555, tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_the_interval_is_that_of_the_kept_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, _: drawn.append(figure))
    plot_curve(curve(), (0.9, Interval(0.8, 0.95)), None, tmp_path / "curve.png")
    (bar,) = drawn[0].axes[0].containers
    assert isinstance(bar, ErrorbarContainer)
    (ends,) = bar.lines[2][0].get_segments()
    np.testing.assert_allclose(ends[:, 1], [0.8, 0.95])
    assert "0.9000" in str(bar.get_label())


def test_a_curve_of_one_evaluation_is_drawn(tmp_path: Path) -> None:
    plot_curve(curve(1), None, None, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_korean_has_glyphs(tmp_path: Path) -> None:
    figure = new_figure()
    figure.suptitle("한국어 문장 − 0.5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(figure, tmp_path / "korean.png")


def glyphs(page: str) -> set[str]:
    """Return the characters that the font in a page can show."""
    (encoded,) = re.findall(r"@font-face .*base64,([^)]*)\)", page)
    return {chr(code) for code in TTFont(BytesIO(base64.b64decode(encoded))).getBestCmap()}


def test_worst_pairs_come_first_and_markup_stays_text(tmp_path: Path) -> None:
    table = pairs(40)
    table["predicted"] = table["gold"]
    table.loc[7, ["sentence1", "sentence2"]] = ["<script>alert(1)</script> 방", "방 & 숙소"]
    table.loc[7, ["gold", "predicted"]] = [1.0, -0.25]
    table.loc[9, ["gold", "predicted"]] = [0.0, 0.5]
    write_worst_pairs(table, "<b>", tmp_path / "worst.html", count=25)
    page = (tmp_path / "worst.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr><td>.*</tr>", page)
    assert len(rows) == 25
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt; 방</td><td>방 &amp; 숙소</td>" in rows[0]
    assert [re.findall(r'number">([^<]*)', row)[:3] for row in rows[:2]] == [
        ["1.00", "-0.25", "-1.25"],
        ["0.00", "0.50", "+0.50"],
    ]
    assert glyphs(page) >= {"방", "숙", "소", "1"}
    assert "<script>" not in page and "<b>" not in page and 'charset="utf-8"' in page
