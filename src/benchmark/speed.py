"""The same recipe by the plain trainer and by ours."""

import math
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from scipy.stats import ttest_rel

from src.metrics.names import SPEARMAN

OURS = "ours"
VARIANTS: dict[str, list[str]] = {
    OURS: [],
    "stock_fp32": ["trainer=stock"],
    "stock_bf16": ["trainer=stock", "trainer.precision=bf16"],
    "stock_uncut": ["trainer=stock", "model.vocabulary=full"],
}
"""Overrides of each competitor."""
STEPS_IN_A_SLOW_FORMAT = 10
"""Steps of the bf16 variant on a machine that computes bf16 slower than fp32, where nobody would wait for more."""

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What a training computes, the same for every variant."""

    tokens_per_pair: float
    """Real tokens, padding not counted."""
    flops_per_token: float
    """Of the matrix products of the layers, forward and backward: six for each weight."""
    peak_flops: float
    """What this machine reached in a bf16 matrix product, operations a second."""
    evaluation_interval: int
    """Steps from one evaluation of the recipe to the next."""


def seconds_per_step(metrics: Metrics, interval: int) -> float:
    """Return the wall time of a step with its share of an evaluation every `interval` steps.

    A training cut short has evaluated once more often, for its number of steps, than the whole recipe does.
    """
    evaluations = math.ceil(metrics["steps"] / interval)
    return float(metrics["train_seconds"] / metrics["steps"] + metrics["evaluation_seconds"] / evaluations / interval)


def ratios(rounds: list[dict[str, Metrics]], rival: str, interval: int) -> list[float]:
    """Return how many times faster ours was than the rival, round by round."""
    return [seconds_per_step(turn[rival], interval) / seconds_per_step(turn[OURS], interval) for turn in rounds]


def spread(values: list[float]) -> dict[str, float]:
    """Return median, min and max."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def difference(rounds: list[dict[str, Metrics]], rival: str) -> dict[str, float]:
    """Return ours minus the rival in Spearman: the mean over the rounds, and from two on its 95 % interval.

    The rounds are paired, as both train with the same seed on batches in the same order (paired t interval).
    """
    ours, others = ([turn[name][SPEARMAN] for turn in rounds] for name in (OURS, rival))
    found = {"mean": mean(ours) - mean(others)}
    if len(rounds) > 1:
        found["low"], found["high"] = map(float, ttest_rel(ours, others).confidence_interval(0.95))
    return found


def summarise(rounds: list[dict[str, Metrics]], work: Work) -> dict[str, Any]:
    """Return the table of a benchmark: ratios at the top level, then each variant, then how they compare."""
    names = list(rounds[0])
    steps = {name: [turn[name]["steps"] for turn in rounds] for name in names}
    faster = {name: ratios(rounds, name, work.evaluation_interval) for name in names if name != OURS}
    return {
        **{f"ratio_vs_{name}": median(values) for name, values in faster.items()},
        "variants": {name: _variant([turn[name] for turn in rounds], work) for name in names},
        "ratios": faster,
        # of a rival that was stopped early only the speed compares
        "spearman_differences": {name: difference(rounds, name) for name in faster if steps[name] == steps[OURS]},
    }


def _variant(turns: list[Metrics], work: Work) -> dict[str, Any]:
    last, speed = turns[-1], [turn["pairs_per_second"] for turn in turns]
    tokens = [pairs * work.tokens_per_pair for pairs in speed]
    return {
        "steps": last["steps"],
        "precision": last["precision"],
        "train_seconds": spread([turn["train_seconds"] for turn in turns]),
        "evaluation_seconds": spread([turn["evaluation_seconds"] for turn in turns]),
        "pairs_per_second": spread(speed),
        "tokens_per_second": spread(tokens),
        "share_of_bf16_peak": median(tokens) * work.flops_per_token / work.peak_flops,
        "peak_memory_mb": max(turn["peak_memory_mb"] for turn in turns),
        "spearman_cosine_by_round": [turn[SPEARMAN] for turn in turns],
        **{key: last[key] for key in (SPEARMAN, f"{SPEARMAN}_low", f"{SPEARMAN}_high")},
    }


def to_markdown(table: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    lines = [
        "| trainer | steps | training s | evaluation s | pairs/s | tokens/s | of bf16 peak | MB | Spearman | ours is |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in table["variants"].items():
        seconds = " | ".join(
            f"{row[key]['median']:.0f} ({row[key]['min']:.0f}–{row[key]['max']:.0f})"
            for key in ("train_seconds", "evaluation_seconds")
        )
        faster = table.get(f"ratio_vs_{name}")
        lines.append(
            f"| {name.replace('_', ' ')}, {row['precision']} | {row['steps']} | {seconds} "
            f"| {row['pairs_per_second']['median']:.1f} | {row['tokens_per_second']['median']:.0f} "
            f"| {row['share_of_bf16_peak']:.0%} | {row['peak_memory_mb']:.0f} "
            f"| {row[SPEARMAN]:.4f} [{row[f'{SPEARMAN}_low']:.4f}, {row[f'{SPEARMAN}_high']:.4f}] "
            f"| {'–' if faster is None else f'{faster:.2f} times as fast'} |"
        )
    scores = {name: mean(row["spearman_cosine_by_round"]) for name, row in table["variants"].items()}
    lines.append(f"\nMean Spearman of the rounds: ours {scores[OURS]:.4f}.")
    for name, found in table["spearman_differences"].items():
        interval = " [{low:+.4f}, {high:+.4f}]".format(**found) if "low" in found else ""
        lines.append(f"{name.replace('_', ' ')} {scores[name]:.4f}, ours minus it {found['mean']:+.4f}{interval}.")
    return "\n".join(lines) + "\n"
