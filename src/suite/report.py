"""Report of an evaluation: tables for terminal and Markdown, a JSON file, and a forest plot of the differences."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.evaluation.statistics import Estimate
from src.report.blocks import Block, show_p_value, to_markdown
from src.report.figures import finish_axes, new_figure, plot_interval, save_figure
from src.report.files import EVALUATION
from src.report.sentence import signed
from src.suite.evaluation import MtebScores, SetResult
from src.suite.verdicts import GAIN, NO_DIFFERENCE, REGRESSION, Verdict
from src.utils.files import write_text
from src.utils.text import escape_markdown, to_json

FILES = EVALUATION
COLORS = {GAIN: "C2", NO_DIFFERENCE: "grey", REGRESSION: "C3"}


@dataclass(frozen=True)
class Report:
    """Outcome of an evaluation."""

    suite: str
    models: dict[str, str]
    """References of the models by name, the evaluated one first."""
    sets: list[SetResult]
    left_out: dict[str, str]
    """Reasons by name of the set."""
    precision: str
    """fp32 or bf16."""
    seconds: float
    mteb: MtebScores = field(default_factory=dict)
    run_id: str | None = None
    """Run of the evaluated model, None if it is of no experiment."""

    @property
    def model(self) -> str:
        """Name of the evaluated model."""
        return next(iter(self.models))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of evaluation.json."""
        return {
            **{name: value for name, value in vars(self).items() if name != "sets"},
            "sets": [_set_to_dict(one) for one in self.sets],
        }


def _set_to_dict(one: SetResult) -> dict[str, Any]:
    scores = {model: _all_to_dict(found) for model, found in one.scores.items()}
    differences = {
        each.other: {**each.estimate.to_dict("difference"), "p_value": each.p_value, "verdict": each.word}
        for each in one.verdicts
    }
    plain = {name: value for name, value in vars(one).items() if name not in ("scores", "verdicts")}
    return {**plain, "metric": one.metric.name, "scores": scores, "against": differences}


def _all_to_dict(scores: dict[str, Estimate]) -> dict[str, float]:
    values = (item for name, estimate in scores.items() for item in estimate.to_dict(name).items())
    return dict(values)


def report_blocks(report: Report) -> list[Block]:
    """Return the tables of a report; none for what it does not have."""
    blocks = [_scores(report), *([_verdicts(report)] if len(report.models) > 1 else [])]
    if report.left_out:
        rows = [[name, reason] for name, reason in report.left_out.items()]
        blocks.append(Block("Left out, since they could not be reached", ["set", "reason"], rows))
    if report.mteb:
        blocks.append(_mteb(report))
    return blocks


def _scores(report: Report) -> Block:
    labels = list(dict.fromkeys(one.metric.label for one in report.sets))
    several = len(labels) > 1
    header = ["set", "n", *["metric"] * several, *(f"{name} [95 %]" for name in report.models), "seen"]
    rows = [
        [
            one.name,
            f"{one.rows:,}",
            *[one.metric.label] * several,
            *(str(one.scores[name][one.metric.name]) for name in report.models),
            "not known" if one.seen is None else f"{one.seen:,}",
        ]
        for one in report.sets
    ]
    measured = "" if several else f": {labels[0]}" if labels else ""
    return Block(f"{report.model} on {report.suite}{measured}", header, rows)


def _verdicts(report: Report) -> Block:
    rows = [
        [each.set, each.other, signed(each.estimate), show_p_value(each.p_value), each.word]
        for one in report.sets
        for each in one.verdicts
    ]
    title = f"Differences (paired bootstrap, permutation test, Holm over all {len(rows)})"
    return Block(title, ["set", "against", "difference [95 %]", "p (Holm)", "verdict"], rows)


def _mteb(report: Report) -> Block:
    rows = [
        [task, model, name, f"{value:.4f}"]
        for task, models in report.mteb.items()
        for model, values in models.items()
        for name, value in values.items()
    ]
    return Block("MTEB", ["task", "model", "metric", "value"], rows)


def summary(report: Report) -> str:
    """Return the verdicts in a sentence for each other model, and one on the sets that the model was trained on.

    Empty without any set, as in an evaluation on tasks of MTEB alone.
    """
    if not report.sets:
        return ""
    sentences = []
    for other in list(report.models)[1:]:
        found = [each for one in report.sets for each in one.verdicts if each.other == other]
        words = [
            f"{word} on {', '.join(names)}" for word in COLORS if (names := [v.set for v in found if v.word == word])
        ]
        sentences.append(f"Against {other}: {'; '.join(words)}.")
    return " ".join([*sentences, _seen(report)])


def _seen(report: Report) -> str:
    known = {one.name: f"{one.seen:,} of {one.sentences:,} in {one.name}" for one in report.sets if one.seen}
    if any(one.seen is None for one in report.sets):
        return f"Which sentences {report.model} was trained on is not known."
    if not known:
        return "No sentence of the sets occurs in its training set."
    return f"Sentences that occur in its training set: {', '.join(known.values())}."


def write_report(report: Report, folder: Path) -> None:
    """Write `FILES` into a folder, which is made if there is none; without other models no figure."""
    folder.mkdir(parents=True, exist_ok=True)
    values, markdown, image = (folder / name for name in FILES)
    parts = [f"# {escape_markdown(report.model)} on {escape_markdown(report.suite)}", escape_markdown(summary(report))]
    if any(one.verdicts for one in report.sets):
        plot_differences(report, image)
        parts.append(f"![differences]({image.name})")
    else:
        image.unlink(missing_ok=True)
    write_text(
        markdown, "\n\n".join(filter(None, [*parts, *map(to_markdown, report_blocks(report)), _notes(report)])) + "\n"
    )
    write_text(values, to_json(report.to_dict(), indent=2) + "\n")


def _notes(report: Report) -> str:
    """Return where the examples come from, and how the embeddings were computed."""
    sources = "\n".join(f"- {escape_markdown(one.name)}: {escape_markdown(one.source)}" for one in report.sets)
    models = "\n".join(f"- {escape_markdown(name)}: {escape_markdown(of)}" for name, of in report.models.items())
    cost = f"Computed in {report.precision}, in {report.seconds:.0f} s."
    return "\n\n".join(["## Models and sets", models, sources, cost])


def plot_differences(report: Report, path: Path) -> None:
    """Write the differences with their intervals as PNG, a row for each set and other model."""
    rows = list(_rows(report))
    figure = new_figure(10, 1.6 + 0.42 * len(rows))
    axes = figure.subplots()
    axes.axvline(0, color="black", linewidth=0.8)
    for height, (one, each) in enumerate(reversed(rows)):
        plot_interval(axes, each.estimate, height, COLORS[each.word])
        values = (one.scores[name][one.metric.name].value for name in (each.other, report.model))
        text = "{:.3f} → {:.3f}  {:+.3f}".format(*values, each.estimate.value)
        axes.annotate(
            text,
            (1.01, height),
            xycoords=("axes fraction", "data"),
            va="center",
            color=COLORS[each.word],
            annotation_clip=False,
        )
    several = len(report.models) > 2
    labels = [
        f"{one.name}{f' against {each.other}' if several else ''}\n{one.metric.label}, {one.rows:,} {one.unit}"
        for one, each in reversed(rows)
    ]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.margins(y=0.6 / len(rows))
    for word, color in COLORS.items():
        axes.plot([], [], "o-", color=color, label=word)
    others = ", ".join(list(report.models)[1:])
    finish_axes(axes, f"{report.model} minus {others}, 95 % interval", "difference in the metric of each set", "")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25 if len(rows) < 4 else -0.14), ncols=3, frameon=False)
    save_figure(figure, path)


def _rows(report: Report) -> Iterator[tuple[SetResult, Verdict]]:
    for other in list(report.models)[1:]:
        for one in report.sets:
            yield from ((one, each) for each in one.verdicts if each.other == other)
