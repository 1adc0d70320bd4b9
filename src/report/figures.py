"""Helpers for all figures of the project: sizes, axes with title and legend, intervals, and PNG files.

Matplotlib is imported inside functions, so that a training starts without it.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.evaluation.statistics import Estimate
from src.report.fonts import korean_font
from src.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@cache
def use_korean_font() -> None:
    """Add the Korean font, if it is installed, to those of all figures of this process."""
    import matplotlib
    from matplotlib import font_manager

    if font := korean_font():
        font_manager.fontManager.addfont(font)
        matplotlib.rcParams["font.family"] = ["DejaVu Sans", "NanumGothic"]


def new_figure(width: float = 10, height: float = 4) -> "Figure":
    """Return an empty figure of this size in inches."""
    from matplotlib.figure import Figure

    use_korean_font()
    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def plot_interval(axes: "Axes", estimate: Estimate, height: float, color: str) -> None:
    """Draw an estimate as a horizontal interval with a point."""
    axes.plot(estimate.interval, [height, height], color=color, linewidth=2)
    axes.plot(estimate.value, height, "o", color=color)


def finish_axes(axes: "Axes", title: str, x: str, y: str) -> None:
    """Give the axes a title, labels, a grid, and a legend if anything has a label."""
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def save_figure(figure: "Figure", path: Path, **options: Any) -> None:
    """Write the figure as PNG with these options of `savefig`, atomically; a dollar sign in a name is no formula."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", **options)
