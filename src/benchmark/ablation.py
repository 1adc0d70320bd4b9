"""What each speed-up of our trainer is worth: trainings in which one of them at a time is turned off."""

from pathlib import Path
from statistics import mean, median
from typing import Any

from src.benchmark.speed import (
    OURS,
    Round,
    difference_text,
    score_difference,
    seconds_per_step,
    train_rounds,
)
from src.config import BenchSettings
from src.data import ExampleSet
from src.evaluation.metrics import leading_metric

ABLATIONS: dict[str, list[str]] = {
    OURS: [],
    # padded batches have a forward pass for each column, and train the whole table of embeddings
    "packed batches, one forward pass and the embedding subset": ["trainer.batching=padded", "trainer.used_rows=false"],
    "embedding subset": ["trainer.used_rows=false"],
    "fast dropout": ["trainer.fast_dropout=false"],
    "bf16": ["trainer.precision=fp32"],
    "direct evaluation": ["trainer.evaluation=dataloader"],
    "nothing": [],
}
"""Overrides that turn off each speed-up; what nothing seems to be worth is the accuracy of the others."""


def measure_ablation(
    config: BenchSettings, overrides: list[str], pairs: ExampleSet, scratch: Path
) -> tuple[dict[str, Any], str]:
    """Train without each speed-up in turn, with another seed in each round; return the table, also as Markdown."""
    from src.training.fine_tune import eval_interval  # imports torch, which takes seconds

    interval = eval_interval(config.trainer, *(len(each.train) for each in pairs.sets.values()))
    ablations = {name: own for name, own in ABLATIONS.items() if name != "bf16" or _is_bf16_used(config)}
    rounds = train_rounds(config, ablations, overrides, interval, scratch)
    table = {"data_source": pairs.source, "ours_seconds": median(_step_seconds(rounds, OURS, interval))}
    table |= {"without": {name: worth(rounds, name, interval) for name in ablations if name != OURS}}
    return table, to_markdown(table, pairs.shape.name)


def worth(rounds: list[Round], name: str, interval: int) -> dict[str, Any]:
    """Return what a speed-up saves of a step without it, in seconds and as a share, and the gain of its metric."""
    without, ours = (_step_seconds(rounds, each, interval) for each in (name, OURS))
    both = list(zip(without, ours, strict=True))
    return {
        "seconds": median(without),
        "saved": median(slow - fast for slow, fast in both),
        "share": median((slow - fast) / slow for slow, fast in both),
        "score": mean(each[name].leading.value for each in rounds),
        "difference": score_difference(rounds, name),
    }


def to_markdown(table: dict[str, Any], shape: str) -> str:
    """Return the table as Markdown."""
    label = leading_metric(shape).label
    lines = [
        f"Ours takes {table['ours_seconds']:.3f} s a step, with its share of an evaluation.\n",
        f"| without | s a step | worth, s a step | of the step | {label} | ours minus it |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in table["without"].items():
        lines.append(
            f"| {name} | {row['seconds']:.3f} | {row['saved']:+.3f} | {row['share']:+.0%} | {row['score']:.4f} |"
            f" {difference_text(row['difference'])} |"
        )
    return "\n".join(lines) + "\n"


def _step_seconds(rounds: list[Round], name: str, interval: int) -> list[float]:
    return [seconds_per_step(each[name], interval) for each in rounds]


def _is_bf16_used(config: BenchSettings) -> bool:
    from src.training.precision import choose_precision  # imports torch, which takes seconds

    return choose_precision(config.trainer.precision) == "bf16"
