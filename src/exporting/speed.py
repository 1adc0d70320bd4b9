"""Speed of an export and of the model in torch: time of a single text, and texts a second in batches."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from sentence_transformers import SentenceTransformer

from src.exporting.runtime import Runtime

BATCH = 32
SINGLE, MANY = 16, 128
"""Number of texts that are embedded one at a time, and in batches."""
ROUNDS = 3
"""Repetitions of which the fastest counts: other processes only add time."""
EXPORT = "export"

Embed = Callable[[Sequence[str]], object]
"""Embeds one batch of texts."""


@dataclass(frozen=True)
class Speed:
    """Speeds by name: torch fp32, torch bf16, export."""

    milliseconds: dict[str, float]
    """Mean time of a text by itself."""
    texts_per_second: dict[str, float]
    """In batches of 32 texts of similar length."""


def measure_speed(encoder: SentenceTransformer, runtime: Runtime, texts: Sequence[str]) -> Speed:
    """Return the speeds on the first of these texts, measured in turns so that a busy machine affects all alike."""
    texts = texts[:MANY]
    single = [[text] for text in texts[:SINGLE]]
    ordered = sorted(texts, key=len, reverse=True)
    batches = [ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)]
    ways: dict[str, Embed] = {
        "torch fp32": lambda batch: encoder.encode(list(batch), prompt="", batch_size=BATCH, show_progress_bar=False),
        "torch bf16": lambda batch: _encode_bf16(encoder, batch),
        EXPORT: runtime.embed,
    }
    for embed in ways.values():
        embed(ordered[:BATCH])  # the first call prepares weights
    slow, fast = dict.fromkeys(ways, float("inf")), dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, embed in ways.items():
            slow[name] = min(slow[name], _seconds(embed, single) / len(single))
            fast[name] = min(fast[name], _seconds(embed, batches) / len(texts))
    return Speed(
        {name: 1000 * seconds for name, seconds in slow.items()}, {name: 1 / seconds for name, seconds in fast.items()}
    )


def _encode_bf16(encoder: SentenceTransformer, batch: Sequence[str]) -> object:
    with torch.autocast("cpu", torch.bfloat16):
        return encoder.encode(list(batch), prompt="", batch_size=BATCH, convert_to_tensor=True, show_progress_bar=False)


def _seconds(embed: Embed, batches: Sequence[Sequence[str]]) -> float:
    start = time.perf_counter()
    for batch in batches:
        embed(batch)
    return time.perf_counter() - start
