"""How start-up, speed and memory grow with the number of pairs."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

ROWS_AT_ONCE = 50_000


def write_pairs(pairs: Dataset, count: int, path: Path) -> None:
    """Write `count` pairs as Parquet: the given ones over and over, each time with another number in the sentence."""
    table = pairs.with_format("arrow")[:]
    schema = pa.schema({"sentence1": pa.string(), "sentence2": pa.string(), "score": pa.float64()})
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, ROWS_AT_ONCE):
            rows = [
                (number // len(pairs), number % len(pairs)) for number in range(start, min(start + ROWS_AT_ONCE, count))
            ]
            turns, indices = zip(*rows, strict=True)
            chunk = table.take(pa.array(indices))
            varied = {
                name: [f"{text.as_py()} {turn}" for text, turn in zip(chunk[name], turns, strict=True)]
                for name in ("sentence1", "sentence2")
            }
            writer.write_table(pa.table({**varied, "score": chunk["score"].cast(pa.float64())}, schema=schema))


def row_of(pairs: int, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return what the growth table shows of one training."""
    keys = ("startup_seconds", "train_seconds", "pairs_per_second", "peak_memory_mb", "steps")
    return {"pairs": pairs, **{key: metrics[key] for key in keys}}


def to_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the growth table as Markdown."""
    lines = ["| pairs | start-up s | pairs/s | peak memory MB |", "|---|---|---|---|"]
    for row in rows:
        speed, memory = row["pairs_per_second"], row["peak_memory_mb"]
        lines.append(f"| {row['pairs']:,} | {row['startup_seconds']:.0f} | {speed:.1f} | {memory:,.0f} |")
    return "\n".join(lines) + "\n"
