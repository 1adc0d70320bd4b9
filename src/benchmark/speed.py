"""Speed of our trainer against the stock one on the same recipe, in trainings that take turns."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from scipy.stats import ttest_rel

from src.benchmark.turns import train_in_turns
from src.config import BenchSettings
from src.config.model import EmbeddedEncoder
from src.data import ExampleSet, text_columns
from src.data.shapes import SHAPES
from src.evaluation.metrics import Metric, leading_metric
from src.evaluation.result import Result
from src.evaluation.statistics import Estimate
from src.utils.console import console
from src.utils.errors import require

log = logging.getLogger(__name__)

OURS = "ours"
VARIANTS: dict[str, list[str]] = {
    OURS: [],
    "stock_fp32": ["trainer=stock"],
    "stock_bf16": ["trainer=stock", "trainer.precision=bf16"],
    "stock_uncut": ["trainer=stock", "model.vocabulary=full"],
}
"""Overrides of each trainer."""
SLOW_FORMAT_STEPS = 10
"""Steps of `stock_bf16` on a machine that computes bf16 slower than fp32, where the full recipe takes hours."""

Round = dict[str, Result]
"""Result of each variant, all trained with the same seed."""


@dataclass(frozen=True)
class Workload:
    """Amount of computation of a training run, the same for every variant."""

    tokens_per_example: float
    """In all columns of texts, without padding."""
    flops_per_token: float
    """Matrix products of the layers, forward and backward: six operations for each weight."""
    peak_flops: float
    """Operations a second that this machine reached in a matrix product in its faster format."""
    peak_precision: str
    """That format: bf16 or fp32."""
    eval_interval: int
    """Steps of the recipe from one evaluation to the next."""


def measure_speed(
    config: BenchSettings, overrides: list[str], pairs: ExampleSet, scratch: Path
) -> tuple[dict[str, Any], str]:
    """Train with every variant, with another seed in each round; return the table, also as Markdown."""
    variants = select_variants(config)
    workload = measure_workload(config, pairs)
    rounds = train_rounds(config, variants, overrides, workload.eval_interval, scratch)
    peak = {f"{workload.peak_precision}_peak_gflops": workload.peak_flops / 1e9}
    table = {**summarize(rounds, workload), "data_source": pairs.source, **peak}
    return table, to_markdown(table, pairs.shape.name, workload.peak_precision)


def train_rounds(
    config: BenchSettings, variants: dict[str, list[str]], overrides: list[str], interval: int, scratch: Path
) -> list[Round]:
    """Return the results of all rounds; `interval`: steps of the recipe from one evaluation to the next."""
    limit = config.bench.max_steps if config.bench.max_steps > 0 else config.trainer.max_steps
    steps = {name: max_steps(name, limit) for name in variants}
    rounds: list[Round] = []
    for number in range(config.bench.rounds):
        trainings = {
            name: [*overrides, *own, f"trainer.max_steps={steps[name]}", f"trainer.seed={config.trainer.seed + number}"]
            for name, own in variants.items()
        }
        with console.status(f"Round {number + 1} of {config.bench.rounds}: {len(trainings)} trainings in turns"):
            rounds.append(train_in_turns(trainings, scratch / f"round{number + 1}"))
        for name, result in rounds[-1].items():
            seconds = seconds_per_step(result, interval)
            log.info(f"round {number + 1}: {name:12} {result.steps:5} steps, {seconds:.3f} s a step")
    return rounds


def select_variants(config: BenchSettings) -> dict[str, list[str]]:
    """Return the overrides of our trainer and its rivals; raise `UserError` if no rival exists for the encoder."""
    rivals = [
        name for name in config.bench.rivals if name != "stock_uncut" or isinstance(config.model, EmbeddedEncoder)
    ]
    require(bool(rivals), "bench.rivals", "one that this encoder has", config.bench.rivals)
    return {name: VARIANTS[name] for name in (OURS, *rivals)}


def measure_workload(config: BenchSettings, pairs: ExampleSet) -> Workload:
    """Return the workload of a training run with this configuration."""
    # imported here, as torch and transformers take seconds: the configuration is checked first
    from src.encoder import load_encoder
    from src.packing.tokens import tokenize
    from src.training.fine_tune import eval_interval
    from src.training.precision import choose_precision, peak_flops, use_threads

    use_threads(config.trainer.threads)
    encoder = load_encoder(config.model)
    sets = [each.train for each in pairs.sets.values()]
    tokens = sum(len(row[name]) for each in sets for row in tokenize(each, encoder) for name in text_columns(list(row)))
    weights = sum(weight.numel() for name, weight in encoder.named_parameters() if ".layer." in name)
    interval = eval_interval(config.trainer, *map(len, sets))
    precision = choose_precision("auto")
    return Workload(tokens / sum(map(len, sets)), 6.0 * weights, peak_flops(precision), precision, interval)


def max_steps(variant: str, limit: int) -> int:
    """Return trainer.max_steps of a variant, at most `limit` (-1: none): fewer if bf16 is slow on this machine."""
    from src.training.precision import choose_precision  # imports torch, as above

    if variant != "stock_bf16" or choose_precision("auto") == "bf16":
        return limit
    return min(limit, SLOW_FORMAT_STEPS) if limit > 0 else SLOW_FORMAT_STEPS


def seconds_per_step(result: Result, interval: int) -> float:
    """Return the wall time of a step, with its share of an evaluation every `interval` steps.

    The recipe's interval is used because a training of few steps has more evaluations for its steps than the recipe.
    One more evaluation is that of step 0: direct and in fp32, whatever the trainer.
    """
    evaluations = 1 + math.ceil(result.steps / interval)
    return result.train_seconds / result.steps + result.evaluation_seconds / evaluations / interval


def summarize(rounds: list[Round], workload: Workload) -> dict[str, Any]:
    """Return the table of a benchmark: ratios at the top level, then each variant, then their differences."""
    rivals = [name for name in rounds[0] if name != OURS]
    ratios = {name: speed_ratios(rounds, name, workload.eval_interval) for name in rivals}
    # a rival that was stopped early is compared in speed only
    comparable = [name for name in rivals if all(each[name].steps == each[OURS].steps for each in rounds)]
    return {
        **{f"ratio_vs_{name}": median(values) for name, values in ratios.items()},
        "variants": {name: _variant([each[name] for each in rounds], workload) for name in rounds[0]},
        "ratios": ratios,
        f"{rounds[0][OURS].metric.name}_differences": {name: score_difference(rounds, name) for name in comparable},
    }


def speed_ratios(rounds: list[Round], rival: str, interval: int) -> list[float]:
    """Return how many times faster our trainer was than the rival in each round."""
    return [seconds_per_step(each[rival], interval) / seconds_per_step(each[OURS], interval) for each in rounds]


def score_difference(rounds: list[Round], rival: str) -> dict[str, float]:
    """Return our leading metric minus the rival's: the mean over the rounds, and from two rounds on its 95 % interval.

    The rounds are paired, as both train with the same seed on batches in the same order (paired t interval).
    """
    ours, others = ([each[name].leading.value for each in rounds] for name in (OURS, rival))
    found = {"mean": mean(ours) - mean(others)}
    if len(rounds) > 1:
        found["low"], found["high"] = map(float, ttest_rel(ours, others).confidence_interval(0.95))
    return found


def _variant(results: list[Result], workload: Workload) -> dict[str, Any]:
    last, speeds = results[-1], [result.pairs_per_second for result in results]
    tokens = [pairs * workload.tokens_per_example for pairs in speeds]
    return {
        "steps": last.steps,
        "precision": last.precision,
        "train_seconds": _spread([result.train_seconds for result in results]),
        "evaluation_seconds": _spread([result.evaluation_seconds for result in results]),
        "pairs_per_second": _spread(speeds),
        "tokens_per_second": _spread(tokens),
        f"share_of_{workload.peak_precision}_peak": median(tokens) * workload.flops_per_token / workload.peak_flops,
        "peak_memory_mb": max(result.peak_memory_mb for result in results),
        f"{last.metric.name}_by_round": [result.leading.value for result in results],
        **last.leading.to_dict(last.metric.name),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def to_markdown(table: dict[str, Any], shape: str, peak: str) -> str:
    """Return the table of trainings on examples of this shape as Markdown; `peak`: the format of `Workload`'s peak."""
    metric, speeds = leading_metric(shape), f"{SHAPES[shape].noun}/s | tokens/s"
    lines = [
        f"| trainer | steps | training s | evaluation s | {speeds} | of {peak} peak | MB | {metric.label} | ours is |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(
            _markdown_row(name, row, row[f"share_of_{peak}_peak"], metric, table.get(f"ratio_vs_{name}"))
            for name, row in table["variants"].items()
        ),
    ]
    scores = {name: mean(row[f"{metric.name}_by_round"]) for name, row in table["variants"].items()}
    lines.append(f"\nMean {metric.label} of the rounds: ours {scores[OURS]:.4f}.")
    for name, found in table[f"{metric.name}_differences"].items():
        lines.append(f"{name.replace('_', ' ')} {scores[name]:.4f}, ours minus it {difference_text(found)}.")
    return "\n".join(lines) + "\n"


def difference_text(found: dict[str, float]) -> str:
    """Return a difference of `score_difference` with its interval, if it has one."""
    return "{mean:+.4f}".format(**found) + (" [{low:+.4f}, {high:+.4f}]".format(**found) if "low" in found else "")


def _markdown_row(name: str, row: dict[str, Any], share: float, metric: Metric, ratio: float | None) -> str:
    seconds = [
        "{median:.0f} ({min:.0f}–{max:.0f})".format(**row[key]) for key in ("train_seconds", "evaluation_seconds")
    ]
    speeds = [f"{row['pairs_per_second']['median']:.1f}", f"{row['tokens_per_second']['median']:.0f}"]
    cost = [f"{share:.0%}", f"{row['peak_memory_mb']:.0f}"]
    ours_is = "–" if ratio is None else f"{ratio:.2f} times as fast"
    trainer, score = f"{name.replace('_', ' ')}, {row['precision']}", str(Estimate.from_dict(row, metric.name))
    return f"| {' | '.join([trainer, str(row['steps']), *seconds, *speeds, *cost, score, ours_is])} |"
