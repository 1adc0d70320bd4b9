"""Start-up time, speed and memory by number of scored pairs."""

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from src.benchmark.turns import train_in_turns
from src.config import BenchSettings
from src.data import ExampleSet
from src.utils.errors import require

log = logging.getLogger(__name__)

CHUNK_ROWS = 50_000
KEYS = ("startup_seconds", "train_seconds", "pairs_per_second", "peak_memory_mb", "steps")
"""Fields of a result in the table."""
SCHEMA = pa.schema({"sentence1": pa.string(), "sentence2": pa.string(), "score": pa.float64()})


def measure_growth(
    config: BenchSettings, overrides: list[str], pairs: ExampleSet, scratch: Path
) -> tuple[dict[str, Any], str]:
    """Train for a few steps on each of `bench.sizes` pairs; return the table, also as Markdown.

    Raises `UserError` unless the examples are scored pairs.
    """
    scored = pairs.shape.name == "scored"
    require(scored, "bench.growth", f"false for {pairs.shape.noun} that are not scored", config.bench.growth)
    rows = []
    write_pairs(pairs.dev, len(pairs.dev), scratch / "dev.parquet")
    steps = config.bench.growth_steps
    intervals = [f"trainer.max_steps={steps}", f"trainer.eval_steps={steps}", "trainer.eval_every_epochs=null"]
    data = ["data=pairs", f"data.train={scratch}/train.parquet", f"data.dev={scratch}/dev.parquet"]
    for size in config.bench.sizes:
        write_pairs(pairs.train, size, scratch / "train.parquet")
        name = f"growth-{size}"
        result = train_in_turns({name: [*overrides, *data, *intervals]}, scratch / name)[name]
        rows.append({"pairs": size, **{key: getattr(result, key) for key in KEYS}})
        log.info(f"{size:9,} pairs: start-up {result.startup_seconds:.0f} s")
    return {"rows": rows, "data_source": pairs.source}, to_markdown(rows)


def write_pairs(pairs: Dataset, count: int, path: Path) -> None:
    """Write `count` pairs as Parquet: the given ones repeatedly, with the number of the repetition in each sentence."""
    table = pairs.with_format("arrow")[:]
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for start in range(0, count, CHUNK_ROWS):
            numbers = range(start, min(start + CHUNK_ROWS, count))
            chunk = table.take(pa.array([number % len(pairs) for number in numbers]))
            repetitions = [number // len(pairs) for number in numbers]
            varied = {
                name: [f"{text} {turn}" for text, turn in zip(chunk[name].to_pylist(), repetitions, strict=True)]
                for name in ("sentence1", "sentence2")
            }
            writer.write_table(pa.table({**varied, "score": chunk["score"].cast(pa.float64())}, schema=SCHEMA))


def to_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table as Markdown."""
    lines = ["| pairs | start-up s | pairs/s | peak memory MB |", "|---|---|---|---|"]
    for row in rows:
        speed, memory = row["pairs_per_second"], row["peak_memory_mb"]
        lines.append(f"| {row['pairs']:,} | {row['startup_seconds']:.0f} | {speed:.1f} | {memory:,.0f} |")
    return "\n".join(lines) + "\n"
