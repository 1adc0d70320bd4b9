"""A comparison as one picture."""

from pathlib import Path

from src.comparison.candidates import Candidate
from src.comparison.verdict import Difference
from src.report.plots import new_figure, save


def plot_comparison(candidates: list[Candidate], found: list[Difference], path: Path) -> None:
    """Write the curves of all candidates, and their differences with intervals, as PNG."""
    figure = new_figure(12, 4.5)
    curves, differences = figure.subplots(1, 2)
    for candidate in candidates:
        label = f"{candidate.letter}  {candidate.reference[-40:]}"
        curves.plot(candidate.curve["epoch"], candidate.curve["spearman_cosine"], "o-", label=label)
    curves.set(title="Spearman on dev", xlabel="epoch", ylabel="Spearman")
    curves.legend()
    for height, each in enumerate(reversed(found)):
        colour = "C2" if each.shown else "grey"
        differences.plot(each.interval, [height, height], color=colour, linewidth=2)
        differences.plot(each.value, height, "o", color=colour)
    labels = [f"{each.second} − {each.first}" for each in reversed(found)]
    differences.set_yticks(range(len(found)), labels)
    differences.axvline(0, color="black", linewidth=0.8)
    differences.set(title="Difference in Spearman, 95 % interval (green: shown)", xlabel="difference")
    differences.margins(y=0.3)
    for axes in (curves, differences):
        axes.grid(alpha=0.3)
    save(figure, path)
