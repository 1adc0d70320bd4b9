"""What makes trainings one recipe, and its words."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from src.config import Config
from src.data import ExampleSet, load_examples
from src.encoder import BaseModel
from src.pipeline.recipe import recipe_of
from src.pipeline.state import fingerprint_of, resolve_precision

TinyConfig = Callable[..., Config]


@pytest.fixture
def pairs(tiny_config: TinyConfig) -> ExampleSet:
    return load_examples(tiny_config().data)


def recipe(config: Config, pairs: ExampleSet) -> str:
    if config.trainer.precision == "auto":  # its probe may vary under load
        config = replace(config, trainer=replace(config.trainer, precision="fp32"))
    return recipe_of(config, fingerprint_of(config, pairs), pairs.shape)


def test_of_averaged_seeds_the_number_is_part_of_the_recipe(tiny_config: TinyConfig, pairs: ExampleSet) -> None:
    found = [
        recipe(tiny_config(f"trainer.seeds={seeds}", "trainer.seeds_result=average"), pairs)
        for seeds in ("[1,2]", "[3,4]", "[1,2,3]")
    ]
    assert found[0] == found[1] and found[0].partition(" ")[0] != found[2].partition(" ")[0]
    assert ", average of 2 seeds" in found[0] and ", average of 3 seeds" in found[2]
    assert recipe(tiny_config(), pairs).partition(" ")[0] not in {one.partition(" ")[0] for one in found}


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.seed=7", "trainer.threads=3"],
        ["trainer.seeds=[1,2]"],
        ["name=another", "+published={spearman_cosine: 0.5}"],
        ["data.language=en", "data.license=mit"],
        ["trainer.eval_steps=5", "trainer.checkpoints=false"],
        ["tracking.run_name=x", "trainer.resume=never"],
    ],
)
def test_a_recipe_is_the_same_for_all_that_does_not_decide_the_weights(
    overrides: list[str], tiny_config: TinyConfig, pairs: ExampleSet
) -> None:
    assert recipe(tiny_config(*overrides), pairs) == recipe(tiny_config(), pairs)


def test_a_recipe_has_the_interval_of_evaluations_that_can_stop_the_training(
    tiny_config: TinyConfig, pairs: ExampleSet
) -> None:
    often, seldom = (
        recipe(tiny_config("trainer.early_stopping_patience=1", f"trainer.eval_steps={steps}"), pairs)
        for steps in (2, 50)
    )
    assert often.split()[0] != seldom.split()[0]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "lr 0.001, warmup 0.1, 1 epoch, batch 4, tiny"),
        (["trainer.max_steps=7"], "lr 0.001, warmup 0.1, 7 steps, batch 4, tiny"),
        (["loss=cosent", "model.max_length=64"], "lr 0.001, warmup 0.1, 1 epoch, batch 4, cosent, tiny, max_length 64"),
        (["trainer.keep=best"], "lr 0.001, warmup 0.1, 1 epoch, batch 4, tiny, eval_steps 3, keep best"),
        (["trainer=stock"], "lr 0.001, warmup 0.1, 1 epoch, batch 4, tiny, eval_batch_size 16, batching padded,"),
    ],
)
def test_the_words_of_a_recipe_are_the_usual_settings_and_what_differs_from_the_defaults(
    overrides: list[str], words: str, tiny_config: TinyConfig, pairs: ExampleSet
) -> None:
    digits, _, found = recipe(tiny_config(*overrides), pairs).partition(" ")
    assert len(digits) == 8 and int(digits, 16) >= 0
    assert found.startswith(words)
    assert bool(overrides) == (digits != recipe(tiny_config(), pairs)[:8])


def test_other_pairs_another_encoder_or_precision_make_another_recipe(
    tiny_config: TinyConfig, pairs: ExampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("trainer.precision=fp32")
    found = {recipe(config, pairs), recipe(config, replace(pairs, dev=pairs.dev.select(range(9))))}
    found.add(recipe(tiny_config("trainer.precision=bf16"), pairs))
    monkeypatch.setattr("src.pipeline.state.base_of", lambda _: BaseModel("tests/tiny", None, None, "another"))
    found.add(recipe(config, pairs))
    assert len(found) == 4


def test_a_setting_of_a_later_version_changes_a_recipe_only_if_it_is_not_at_its_default(
    tiny_config: TinyConfig, pairs: ExampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = resolve_precision(tiny_config())
    former = fingerprint_of(config, pairs)
    monkeypatch.setattr(
        "src.pipeline.recipe.default_settings", lambda: {"trainer.later": "1", "trainer.batch_size": "4"}
    )
    default, other = ({**former, "trainer.later": value} for value in ("1", "2"))
    assert recipe_of(config, default, pairs.shape) == recipe_of(config, former, pairs.shape)
    assert recipe_of(config, other, pairs.shape) != recipe_of(config, former, pairs.shape)
