"""Recipe of a training: a hash, and words, of all that decides it but the seed."""

import hashlib
import json
import re
from dataclasses import asdict
from typing import Any

from src.config import Config
from src.config.model import EmbeddedEncoder
from src.config.schema import default_settings, defaults_of, flatten, settings_without
from src.config.training import AUTO
from src.config.words import describe
from src.data import Shape
from src.pipeline.state import BASE, PRECISION, SEEDS_RESULT, THREADS, Fingerprint

NO_RECIPE = ("name", "data", "published", "trainer.seed", "trainer.seeds", THREADS)
"""Settings that are no part of a recipe: the digests of the examples stand for those of the data but `MIXED`."""
MIXED = re.compile(r"data\.primary|data\.sets\.\w+\.(weight|loss\.\w+)")
"""Settings of a mixture that decide how its examples are used."""
ALWAYS_HASHED = {
    *("loss.name", *(f"model.{key}" for key in ("name", "vocabulary", "max_length", "dropout", "revision", "path"))),
    *(f"trainer.{key}" for key in ("batch_size", "epochs", "max_steps", "learning_rate", "warmup_ratio")),
    *(f"trainer.{key}" for key in ("weight_decay", "max_grad_norm", "eval_every_epochs", "eval_steps", "keep")),
    *(f"trainer.{key}" for key in ("save_every_epochs", "save_steps", "eval_batch_size", "batching", "used_rows")),
    *(f"trainer.{key}" for key in ("fast_dropout", "evaluation", "precision", "checkpoints")),
}
"""Settings of the first version, which are hashed with any value; those added later only with another value than their
default, so that recipes keep their hashes."""
REMOVED = {"trainer.joint_projections": "True"}
"""Settings of the first version that are gone, with their defaults; hashed for the same reason."""
UNUSED_WITHOUT_SELECTION = ("eval_steps", "eval_every_epochs", "save_steps", "save_every_epochs", "checkpoints")
"""Keys of `trainer` that do not affect the last weights without early stopping, as evaluations and checkpoints use no
random numbers."""
ALWAYS_NAMED = ("trainer.learning_rate", "trainer.warmup_ratio", "trainer.batch_size")


def recipe_of(config: Config, fingerprint: Fingerprint, shape: Shape) -> str:
    """Return hash and words of all that decides a training but the seed, such as `3fa9c21b lr 5e-05, …, batch 16`.

    Of several seeds whose weights are averaged, their number decides too.

    `config` has the settings of the fingerprint; `shape` is that of the examples. The words are a function of what is
    hashed.
    """
    whole: dict[str, Any] = {}
    if config.trainer.seeds_result == "average":  # of how many decides, of which does not
        whole = {SEEDS_RESULT: f"average of {len(config.trainer.seeds)} seeds"}
    selects = config.trainer.keep == "best" or config.trainer.early_stopping_patience is not None
    unused = [] if selects else [f"trainer.{key}" for key in UNUSED_WITHOUT_SELECTION]
    excluded = (*NO_RECIPE, *unused, *(["model.path"] if BASE in fingerprint else []))
    defaults, mixed = default_settings(), {key: fingerprint[key] for key in fingerprint if MIXED.fullmatch(key)}
    decisive = {
        key: value
        for key, value in (settings_without(fingerprint, excluded) | mixed | whole).items()
        if key in ALWAYS_HASHED or defaults.get(key) != value
    }
    digits = hashlib.sha256(json.dumps(decisive | REMOVED, sort_keys=True).encode()).hexdigest()[:8]
    values = {key: value for key, value in flatten(asdict(config)) if key in decisive} | whole
    return f"{digits} {describe(_recipe_words(config, values, shape))}"


def _recipe_words(config: Config, values: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Return the usual settings among the values, those that differ from their defaults, and those of a mixture."""
    defaults = defaults_of(Config) | defaults_of(type(config.model), "model.")
    loss = AUTO if config.loss.name == AUTO else shape.losses[0]  # auto in a mixture, whose sets have own losses
    defaults |= {"model.name": EmbeddedEncoder.name, "loss.name": loss}
    length = "trainer.epochs" if config.trainer.max_steps < 0 else "trainer.max_steps"
    unnamed = {"trainer.epochs", "trainer.max_steps", PRECISION, "model.revision"}
    changed = {key for key in values if MIXED.fullmatch(key) or values[key] != defaults.get(key, values[key])}
    return {key: values[key] for key in values if key in {*ALWAYS_NAMED, length} | changed - unnamed}
