"""Compare the speed of trainers: python -m src.bench +experiment=review_sts."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from src.benchmark import growth, speed
from src.benchmark.job import train_apart
from src.config import BenchSettings
from src.config.checks import require
from src.config.model import EmbeddedEncoder
from src.data import load_pairs
from src.encoder import load_encoder
from src.entry import entry
from src.files import replacing
from src.provenance import device_name
from src.report.console import console
from src.training.arguments import steps_between_evaluations
from src.training.batches import tokenize
from src.training.precision import choose_precision, peak_flops, use_threads


def run(config: BenchSettings, overrides: list[str]) -> dict[str, Any]:
    """Train as `overrides` of src.train say, by every trainer or on more and more pairs; return and store the table."""
    with tempfile.TemporaryDirectory() as scratch:
        measured = _growth if config.bench.growth else _speed
        name, table, markdown = measured(config, overrides, Path(scratch))
    table = {"machine": {"device": device_name(), "threads": use_threads(config.trainer.threads)}, **table}
    folder = Path(config.bench.folder)
    for ending, text in ((".json", json.dumps(table, indent=2) + "\n"), (".md", markdown)):
        with replacing(folder / f"{name}{ending}") as draft:
            draft.write_text(text, encoding="utf-8")
    console.print(markdown)
    console.print(f"Stored in {folder / name}.json and .md")
    return table


def _speed(config: BenchSettings, overrides: list[str], scratch: Path) -> tuple[str, dict[str, Any], str]:
    variants = {name: speed.VARIANTS[name] for name in (speed.OURS, *config.bench.rivals)}
    if not isinstance(config.model, EmbeddedEncoder):
        variants.pop("stock_uncut", None)
    require(len(variants) > 1, "bench.rivals", "one that this encoder has", config.bench.rivals)
    work, source = _work(config)
    slow = choose_precision("auto") == "fp32"
    rounds: list[dict[str, speed.Metrics]] = []
    for turn in range(config.bench.rounds):
        rounds.append({})
        for name, own in variants.items():
            most = config.bench.max_steps
            if slow and name == "stock_bf16":
                most = min(most, speed.STEPS_IN_A_SLOW_FORMAT) if most > 0 else speed.STEPS_IN_A_SLOW_FORMAT
            metrics = train_apart(
                [*overrides, *own, f"trainer.max_steps={most}", f"trainer.seed={config.trainer.seed + turn}"],
                scratch / f"{name}-{turn}",
            )
            rounds[-1][name] = metrics
            took = speed.seconds_per_step(metrics, work.evaluation_interval)
            console.print(f"round {turn + 1}: {name:12} {metrics['steps']:5} steps, {took:.3f} s a step")
    table = {**speed.summarise(rounds, work), "data_source": source, "bf16_peak_gflops": work.peak_flops / 1e9}
    return "speed", table, speed.to_markdown(table)


def _work(config: BenchSettings) -> tuple[speed.Work, str]:
    use_threads(config.trainer.threads)
    pairs, encoder = load_pairs(config.data), load_encoder(config.model)
    tokens = sum(len(row["sentence1"]) + len(row["sentence2"]) for row in tokenize(pairs.train, encoder))
    interval = steps_between_evaluations(config.trainer, len(pairs.train))
    weights = sum(weight.numel() for name, weight in encoder.named_parameters() if ".layer." in name)
    return speed.Work(tokens / len(pairs.train), 6.0 * weights, peak_flops(), interval), pairs.source


def _growth(config: BenchSettings, overrides: list[str], scratch: Path) -> tuple[str, dict[str, Any], str]:
    pairs, rows = load_pairs(config.data), []
    growth.write_pairs(pairs.dev, len(pairs.dev), scratch / "dev.parquet")
    for size in config.bench.sizes:
        growth.write_pairs(pairs.train, size, scratch / "train.parquet")
        data = ["data=pairs", f"data.train={scratch}/train.parquet", f"data.dev={scratch}/dev.parquet"]
        steps = [f"trainer.max_steps={config.bench.growth_steps}", f"trainer.eval_steps={config.bench.growth_steps}"]
        metrics = train_apart([*overrides, *data, *steps], scratch / f"growth-{size}")
        rows.append(growth.row_of(size, metrics))
        console.print(f"{size:9,} pairs: start-up {metrics['startup_seconds']:.0f} s")
    return "growth", {"rows": rows, "data_source": pairs.source}, growth.to_markdown(rows)


def own_overrides() -> list[str]:
    """Return what the command line sets for the training: all but the benchmark's own keys."""
    return [one for one in HydraConfig.get().overrides.task if not one.startswith("bench.")]


if __name__ == "__main__":
    entry(lambda config: run(config, own_overrides()), "bench")()
