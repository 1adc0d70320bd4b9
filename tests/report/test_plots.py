"""Plots of a run: all files are written, Korean renders, and the result is reproducible."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from src.evaluation.metrics import SPEARMAN, TRAINING_LOSS, VALIDATION_LOSS, leading_metric, metrics_of
from src.evaluation.result import Result
from src.evaluation.statistics import Estimate
from src.report import plots
from src.report.figures import finish_axes, new_figure, save_figure
from src.report.plots import draw_plots, plot_curve, plot_files, plot_losses
from tests.conftest import noisy_predictions

SCORED = leading_metric("scored")
FIGURES = {
    "scored": {"predicted", "distributions"},
    "labelled": {"precision_recall", "distributions"},
    "positives": {"ranks", "answers"},
    "triplets": {"ranks", "answers"},
}
"""Figures of each shape besides those of all."""


def pairs(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    gold = rng.integers(0, 6, count) / 5
    text = {"sentence1": [f"방 {i}번이 좋아요" for i in range(count)], "sentence2": ["숙소가 넓어요"] * count}
    return pd.DataFrame({**text, "gold": gold, "predicted": gold + rng.normal(0, 0.1, count)})


def curve(rows: int = 4, shape: str = "scored") -> pd.DataFrame:
    steps = np.arange(rows)
    losses = [np.nan, *[0.2] * (rows - 1)]
    table = pd.DataFrame({"epoch": steps / 10, "step": steps, TRAINING_LOSS: losses, VALIDATION_LOSS: 0.1})
    return table.assign(**{metric.name: 0.5 + steps / 10 - i / 20 for i, metric in enumerate(metrics_of(shape))})


@pytest.mark.parametrize(("count", "evaluated_on", "published"), [(60, "dev", 0.8555), (3, "test", None)])
def test_every_plot_is_drawn(
    count: int, evaluated_on: str, published: float | None, make_result: Callable[..., Result], tmp_path: Path
) -> None:
    pairs(count).to_parquet(tmp_path / "predictions.parquet")
    curve().to_csv(tmp_path / "curve.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_plots(tmp_path, make_result(evaluated_on=evaluated_on), 42, published)
    assert written(tmp_path) == sorted(plot_files(make_result()))
    assert "Worst pairs of tiny" in (tmp_path / "plots" / "worst_pairs.html").read_text(encoding="utf-8")


def written(folder: Path) -> list[str]:
    """Return the files in plots/, of which all images must be valid."""
    files = sorted(path.relative_to(folder).as_posix() for path in (folder / "plots").iterdir())
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in files if name.endswith(".png"))
    return files


@pytest.mark.parametrize("dims", [(), (128, 64)])
@pytest.mark.parametrize("shape", FIGURES)
def test_every_shape_has_its_plots(
    shape: str, dims: tuple[int, ...], make_result: Callable[..., Result], tmp_path: Path
) -> None:
    noisy_predictions(0.6, shape, dims).to_parquet(tmp_path / "predictions.parquet")
    curve(4, shape).assign(**{"nli/cosine_ap": 0.5}).to_csv(tmp_path / "curve.csv")
    result = make_result(shape, dims)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_plots(tmp_path, result, 42, None)
    assert written(tmp_path) == sorted(plot_files(result))
    figures = {name.removeprefix("plots/").removesuffix(".png") for name in plot_files(result)[:-2]}
    assert figures == {"curve", "losses", "slices", *FIGURES[shape], *(["dimensions"] if dims else [])}
    numbers = pd.read_csv(tmp_path / "plots" / "predictions.csv")
    assert numbers.select_dtypes("number").columns.tolist() == numbers.columns.tolist()
    assert {"predicted", *(f"{leading_metric(shape).predicted}_dim_{dim}" for dim in dims)} <= set(numbers)


def test_drawing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        plot_curve(curve(), SCORED, Estimate(0.9, 0.8, 0.95), 0.8555, tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_scores_stored_in_single_precision_give_the_same_plots(
    make_result: Callable[..., Result], tmp_path: Path
) -> None:
    table = pairs(60).assign(predicted=0.5)  # the edges of the histogram are gold scores, too
    for name, gold in (("double", table["gold"]), ("single", table["gold"].astype(np.float32))):
        (tmp_path / name).mkdir()
        table.assign(gold=gold).to_parquet(tmp_path / name / "predictions.parquet")
        curve().to_csv(tmp_path / name / "curve.csv")
        draw_plots(tmp_path / name, make_result(), 42, None)
    for name in plot_files(make_result()):
        assert (tmp_path / "double" / name).read_bytes() == (tmp_path / "single" / name).read_bytes(), name


def test_the_interval_is_that_of_the_saved_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, _: drawn.append(figure))
    plot_curve(curve(), SCORED, Estimate(0.9, 0.8, 0.95), None, tmp_path / "curve.png")
    (bar,) = drawn[0].axes[0].containers
    assert isinstance(bar, ErrorbarContainer)
    (ends,) = bar.lines[2][0].get_segments()
    np.testing.assert_allclose(ends[:, 1], [0.8, 0.95])
    assert "0.9000" in str(bar.get_label())


def test_curves_start_at_step_0_but_for_the_training_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, _: drawn.append(figure))
    plot_curve(curve(), SCORED, None, None, tmp_path / "curve.png")
    plot_losses(curve(), tmp_path / "losses.png")
    lines = [line for figure in drawn for line in figure.axes[0].lines]
    shown = {str(line.get_label()).split(",")[0]: np.isfinite(line.get_ydata()).tolist() for line in lines}
    every, later = [True] * 4, [False, True, True, True]
    assert shown == {"Spearman": every, "Pearson": every, "training": later, "validation": every}


def test_a_curve_of_one_evaluation_is_drawn(tmp_path: Path) -> None:
    plot_curve(curve(1), SCORED, None, None, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_korean_has_glyphs(tmp_path: Path) -> None:
    figure = new_figure()
    figure.suptitle("한국어 문장 − 0.5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / "korean.png")


def test_a_published_score_is_no_reference_for_pairs_written_for_this_project(
    make_result: Callable[..., Result],
) -> None:
    published = {SPEARMAN: 0.8555}
    assert make_result(data_source="hub").comparable(published) == published
    assert make_result(data_source="sample").comparable(published) == {}


def test_dollar_signs_in_a_name_are_no_formula(tmp_path: Path) -> None:
    figure = new_figure()
    axes = figure.subplots()
    axes.plot([0, 1], label=r"$\frac$ and $x")
    axes.set_yticks([0], ["$^$"])
    finish_axes(axes, r"a$\b$", "$_$", "$")
    save_figure(figure, tmp_path / "name.png")
    assert (tmp_path / "name.png").stat().st_size > 1000
