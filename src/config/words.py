"""Settings in words, such as `lr 8.1e-05, warmup 0.12, 2 epochs`, for names of runs and messages."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any

from src.config.schema import Config, SweepSettings
from src.utils.text import visible

LONGEST = 120
"""Number of characters of the longest description that is made of several parts."""
LONGEST_VALUE = 60

LABELS: dict[str, Callable[[Any], str]] = {
    "trainer.learning_rate": lambda rate: f"lr {_short(rate)}",
    "trainer.warmup_ratio": lambda ratio: f"warmup {_short(ratio)}",
    "trainer.epochs": lambda epochs: f"{_short(epochs)} epoch{'' if epochs == 1 else 's'}",
    "trainer.max_steps": lambda steps: f"{_short(steps)} step{'' if steps == 1 else 's'}" if steps > 0 else "all steps",
    "trainer.batch_size": lambda size: f"batch {_short(size)}",
    "trainer.gradient_accumulation_steps": lambda steps: f"accumulation {steps}",
    "trainer.lr_scheduler_type": lambda name: f"{_short(name).replace('_', ' ')} schedule",
    "trainer.layer_decay": lambda factor: f"layer decay {_short(factor)}",
    "trainer.freeze_embeddings": lambda frozen: f"{'frozen' if frozen else 'trained'} embeddings",
    "trainer.early_stopping_patience": lambda evaluations: f"patience {_short(evaluations)}",
    "trainer.multi_dataset_batch_sampler": lambda name: _short(name).replace("_", " "),
    "trainer.seed": lambda seed: f"seed {seed}",
    "trainer.seeds": lambda seeds: f"seeds {_short(seeds)}" if seeds else "one seed",
    "trainer.seeds_result": lambda result: {"first": "first seed", "average": "average of seeds"}.get(result, result),
    "trainer.precision": lambda precision: _short(precision),
    "loss.name": lambda name: _short(name),
    "loss.symmetric": lambda both: "both directions" if both else "one direction",
    "loss.matryoshka_dims": lambda dims: f"dims {'/'.join(map(str, dims))}" if dims else "all dims",
    "model.name": lambda name: _last_part(name),
    "model.path": lambda path: _last_part(path or ""),
    "data.seed": lambda seed: f"data seed {seed}",
    "processes": lambda number: f"{number} processes",
}
"""Words for the usual settings by dotted key, in the order of a description; others have the last part of their key."""
PART = re.compile(r"data\.sets\.(\w+)\.(?:loss\.name|loss|(.+))")
"""A setting of a set of a mixture: the name of the set, and the key unless it is the loss."""


def describe(params: Mapping[str, Any]) -> str:
    """Return settings, by dotted key, as `lr 8.1e-05, warmup 0.12, 2 epochs`."""
    known = [key for key in LABELS if key in params]
    return join_parts(_words(key, params[key]) for key in [*known, *(key for key in params if key not in LABELS)])


def join_parts(parts: Iterable[str]) -> str:
    """Return the parts separated by commas; those beyond `LONGEST` characters are only counted."""
    given = [part for part in parts if part]
    shown = list(given)
    while len(shown) > 1 and sum(len(part) + 2 for part in shown) > LONGEST:
        shown.pop()
    return ", ".join([*shown, *([f"{len(given) - len(shown)} more"] if len(shown) < len(given) else [])])


def default_run_name(config: Config, differences: str = "") -> str:
    """Return the name of a run: what differs from its experiment's defaults, else its seed and the time."""
    if isinstance(config, SweepSettings):
        return join_parts([f"sweep, {config.sweep.trials} trials", differences])
    if differences:
        return differences
    seeds = {"trainer.seeds": config.trainer.seeds} if config.trainer.seeds else {"trainer.seed": config.trainer.seed}
    return f"{describe(seeds)}, {datetime.now():%Y-%m-%d %H:%M}"


def _words(key: str, value: Any) -> str:
    if part := PART.fullmatch(key):
        return " ".join(filter(None, (part[1], part[2] and part[2].rpartition(".")[2], _short(value))))
    label = LABELS.get(key)
    return label(value) if label else f"{key.rpartition('.')[2]} {_short(value)}"


def _short(value: Any) -> str:
    """Return a value as text: a fraction with three digits, a long text cut off."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "on", False: "off"}[value]
    if isinstance(value, float) and 0 < abs(value) < 0.001:
        digits, exponent = f"{value:.2e}".split("e")  # 1e-04, which the format g writes as 0.0001
        return f"{digits.rstrip('0').rstrip('.')}e{exponent}"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.3g}"
    text = ", ".join(map(_short, value)) if isinstance(value, list) else " ".join(visible(str(value)).split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _last_part(name: str) -> str:
    return _short(PurePath(name).name)
