"""Several seeds whose weights are averaged: one model, scored once, that all commands take."""

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

import src.compare
import src.promote
import src.report.__main__
import src.train
from src.config import Config
from src.config.data import Mixture
from src.data import load_examples
from src.evaluation.result import Result
from src.pipeline import average, run_experiment
from src.pipeline.reproduce import reproduce
from src.prediction.encoder import load_model
from src.publishing.push import model_files
from src.tracking import PARENT, RECIPE, find_recipe
from src.tracking.pruning import list_models
from src.utils.errors import UserError
from tests.conftest import write_pairs
from tests.pipeline.test_seeds import Killed, times
from tests.test_triplets import write_triplets

TinyConfig = Callable[..., Config]
SEEDS, AVERAGE, FP32 = "trainer.seeds=[1,2]", "trainer.seeds_result=average", "trainer.precision=fp32"
PROMPTS = ("+model.prompts={query: '질문: '}", "+model.column_prompts={sentence1: query}", "model.max_length=48")
SHORT = (FP32, "trainer.max_steps=3", "trainer.threads=1")


class Finished(NamedTuple):
    """A training with two seeds that was killed between them and while it averaged them, and started again."""

    config: Config
    result: Result
    kept: dict[Path, int]
    """When the files of the seeds were written, as of the second kill."""
    printed: str

    @property
    def folder(self) -> Path:
        return Path(self.config.folder)

    @property
    def seeds(self) -> list[Path]:
        return [self.folder / "seeds" / name for name in "12"]


def runs(config: Config, role: str) -> list[Run]:
    client = MlflowClient(config.tracking.uri)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    return list(client.search_runs([experiment], f"tags.role = '{role}'", order_by=["attributes.start_time"]))


def weights(folder: Path) -> dict[str, Any]:
    return dict(load_file(folder / "model" / "model.safetensors"))


@pytest.fixture(scope="module")
def finished(tiny_config_in: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    given = (SEEDS, AVERAGE, *SHORT, *PROMPTS, "trainer.eval_steps=1", "tracking.champion=auto", "selection=Chosen.")
    config, printed = tiny_config_in(tmp_path_factory.mktemp("average"), *given), StringIO()
    for name, number in (("src.pipeline.seeds.train_seed", 2), ("src.report.files.draw_plots", 2)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            patch.setattr(name, killed_at(name, number))
            src.train.run(config)
    kept = {path: at for seed in "12" for path, at in times(Path(config.folder) / "seeds" / seed).items()}
    with redirect_stdout(printed):
        result = src.train.run(config)
    return Finished(config, result, kept, printed.getvalue())


def killed(*_: Any) -> None:
    raise Killed


def killed_at(name: str, number: int) -> Callable[..., Any]:
    """Return the function of this name, which a kill ends at its call with this number: 1 for the first."""
    module, _, own = name.rpartition(".")
    function, calls = getattr(__import__(module, fromlist=[own]), own), iter(range(1, 100))

    def called(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            raise Killed
        return function(*arguments, **options)

    return called


def test_the_weights_are_the_mean_and_all_else_is_that_of_the_seeds(finished: Finished) -> None:
    averaged, (first, second) = weights(finished.folder), map(weights, finished.seeds)
    assert averaged.keys() == first.keys()
    for name, values in averaged.items():
        mean = np.mean([first[name], second[name]], axis=0, dtype=np.float64)
        assert (values == mean.astype(np.float32)).all() and values.dtype == np.float32
    assert any((first[name] != second[name]).any() for name in first)
    for path in (finished.seeds[0] / "model").glob("*.json"):
        if path.name != "tokenizer_config.json":  # gets the length limit of tokenizer.json, in which it was saved
            assert path.read_bytes() == (finished.folder / "model" / path.name).read_bytes()


def test_its_score_is_that_of_the_librarys_own_evaluation(finished: Finished) -> None:
    encoder = SentenceTransformer(str(finished.folder / "model"), device="cpu")
    assert encoder.prompts["query"] == "질문: " and encoder.max_seq_length == 48
    dev = load_examples(finished.config.data).dev
    texts = ([f"질문: {text}" for text in dev["sentence1"]], dev["sentence2"])
    found = EmbeddingSimilarityEvaluator(*map(list, texts), list(dev["score"]), write_csv=False)(encoder)
    assert finished.result.leading.value == pytest.approx(found["spearman_cosine"], abs=1e-6)
    predictions = pd.read_parquet(finished.folder / "predictions.parquet")
    assert predictions["gold"].rank().corr(predictions["predicted"].rank()) == pytest.approx(found["spearman_cosine"])


def test_its_gains_are_paired_with_the_base_encoder_and_with_the_mean_of_the_seeds(finished: Finished) -> None:
    result, each = Result.load(finished.folder), [Result.load(folder) for folder in finished.seeds]
    assert result == finished.result and result.is_average and result.gain and result.seeds
    mean = np.mean([one.leading.value for one in each])
    assert result.seeds.means["spearman_cosine"].value == pytest.approx(mean)
    gain = result.seeds.gain_over_seeds
    assert gain and gain.value == pytest.approx(result.leading.value - mean) and gain.low < gain.value < gain.high
    assert result.gain.value == pytest.approx(result.leading.value - each[0].before.value)
    for name in ("train_seconds", "evaluation_seconds"):
        assert getattr(result, name) == pytest.approx(sum(getattr(one, name) for one in each))
    curves = [pd.read_csv(folder / "curve.csv") for folder in (finished.folder, *finished.seeds)]
    pd.testing.assert_frame_equal(curves[0], (curves[1] + curves[2]) / 2, check_dtype=False)
    values = json.loads((finished.folder / "metrics.json").read_text(encoding="utf-8"))
    earlier = {name: value for name, value in values.items() if "gain_over_seeds" not in name}
    former = Result.from_dict(earlier)
    assert former.seeds == replace(result.seeds, gain_over_seeds=None) and not former.is_average


def test_after_kills_between_the_seeds_and_in_the_mean_all_is_as_without(
    finished: Finished, tiny_config: TinyConfig
) -> None:
    assert finished.kept and {path: path.stat().st_mtime_ns for path in finished.kept} == finished.kept
    given = (SEEDS, AVERAGE, *SHORT, *PROMPTS, "trainer.eval_steps=1", "tracking.models=false")
    again = src.train.run(tiny_config(*given))
    assert (again.scores, again.gain, again.before) == (
        finished.result.scores,
        finished.result.gain,
        finished.result.before,
    )
    folder = Path(tiny_config(*given).folder)
    for name in ("model/model.safetensors", "curve.csv", "plots/predictions.csv"):
        assert (folder / name).read_bytes() == (finished.folder / name).read_bytes()
    assert (again.model_version, len(runs(finished.config, "seed")), len(runs(finished.config, "seeds"))) == (
        None,
        2,
        1,
    )


def test_the_version_belongs_to_the_parent_run_and_is_champion(finished: Finished) -> None:
    uri, result = finished.config.tracking.uri, finished.result
    (parent,) = runs(finished.config, "seeds")
    children = runs(finished.config, "seed")
    (version,) = MlflowClient(uri, registry_uri=uri).search_model_versions("name = 'tiny'")
    assert (version.run_id, str(version.version)) == (parent.info.run_id, result.model_version)
    assert result.run_id == parent.info.run_id and {child.data.tags[PARENT] for child in children} == {result.run_id}
    assert parent.data.metrics["spearman_cosine"] == result.leading.value
    tag = parent.data.tags[RECIPE]
    assert ", average of 2 seeds, tiny" in tag and tag not in {child.data.tags[RECIPE] for child in children}
    assert version.tags[RECIPE] == tag and find_recipe(tag, uri) == (tag, [result.run_id])
    assert len({child.data.tags[RECIPE] for child in children}) == 1
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith(f"Spearman {result.leading}, mean of the weights of 2 seeds, ")
    assert "over the mean of their scores, on 40 dev pairs of pairs.csv" in note
    shown = "".join(finished.printed.split())  # lines are broken anywhere
    assert "result/model,themeanoftheirweights,registeredasmodels:/tiny/1;thoseoftheseedsin" in shown
    assert "version1ischampion:thefirstchampionoftiny" in shown and "overthebaseencoder" in shown


def test_every_command_takes_the_folder_and_the_version(
    finished: Finished, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, folder = finished.config.tracking.uri, finished.folder
    ours, theirs = (load_model(model, uri).encode("방이 좋아요") for model in (str(folder), "models:/tiny/1"))
    assert (ours == theirs).all()
    monkeypatch.chdir(folder.parent)
    src.compare.run([str(folder), str(finished.seeds[0])], uri)
    assert "no significant difference" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit) as left:
        src.promote.run(str(folder), uri)
    assert left.value.code == 0 and "version 1 is champion already" in capsys.readouterr().out
    kept = [model.run_id for model in list_models(uri, ["tiny"], keep=0) if not model.removable]
    assert kept == [finished.result.run_id]
    assert "model.safetensors" in model_files(folder / "model")
    before = (folder / "plots" / "slices.png").read_bytes()
    src.report.__main__.run(folder)
    assert (folder / "plots" / "slices.png").read_bytes() == before
    assert reproduce(str(folder), uri) == 0


def hyperparameters(card: str) -> set[str]:
    """Return the lines of a card's hyperparameters."""
    section = card.partition("#### Non-Default Hyperparameters")[2].partition("\n### ")[0]
    return {line for line in section.splitlines() if line.startswith("- ")}


def test_its_card_says_what_its_weights_are(finished: Finished) -> None:
    card = (finished.folder / "model" / "README.md").read_text(encoding="utf-8")
    assert "the mean of those of 2 trainings, with the seeds 1, 2; the metrics below are those of this mean." in card
    assert f"| **spearman_cosine** | **{finished.result.leading.value:.4f}** |" in card
    assert "* Loss: `CosineSimilarityLoss`" in card and "Means over the 2 trainings." in card
    assert "### Training Hyperparameters\n\nChosen.\n" in card
    seed = (finished.seeds[0] / "model" / "README.md").read_text(encoding="utf-8")
    without_seed = hyperparameters(seed) - {"- `seed`: 1"}
    assert hyperparameters(card) == without_seed and "- `learning_rate`: 0.001" in without_seed
    assert "* Columns: <code>sentence1</code>" in card


def test_with_another_result_of_the_seeds_none_is_trained_again(
    tiny_config: TinyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_first, of_all = tiny_config(SEEDS, *SHORT), tiny_config(SEEDS, *SHORT, AVERAGE)
    averaged = src.train.run(of_all)
    monkeypatch.setattr("src.pipeline.seeds.run_training", lambda *_, **__: pytest.fail("trained again"))
    first = src.train.run(of_first)
    (child, _) = runs(of_first, "seed")
    client = MlflowClient(of_first.tracking.uri, registry_uri=of_first.tracking.uri)
    assert (averaged.model_version, first.model_version, first.is_average) == ("1", "2", False)
    assert first.run_id == child.info.run_id == client.get_model_version("tiny", "2").run_id
    assert first.seeds and {each.data.tags[PARENT] for each in runs(of_first, "seed")} == {first.seeds.parent_run_id}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(average, "average_models", killed_at("src.pipeline.average.average_models", 1))
        src.train.run(of_all)
    assert src.train.run(of_first).scores == first.scores
    again = src.train.run(of_all)
    assert (again.scores, again.gain, again.model_version) == (averaged.scores, averaged.gain, "3")


@pytest.mark.parametrize("result", ["average", "first"])
def test_a_seed_whose_model_is_damaged_is_trained_again(result: str, tiny_config: TinyConfig) -> None:
    config = tiny_config(SEEDS, *SHORT, f"trainer.seeds_result={result}", "tracking.models=false")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr("src.pipeline.seeds.SeedResults.load", killed)
        src.train.run(config)
    weights = Path(config.folder) / "seeds" / "1" / "model" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:3000])
    src.train.run(config)
    assert (weights.parents[1] / "model.damaged").is_dir()
    assert weights.read_bytes() == whole


@pytest.mark.parametrize("shape", ["triplets", "mixture"])
def test_it_works_for_other_shapes_mixtures_and_fewer_dimensions(
    shape: str, tiny_config: TinyConfig, tmp_path: Path
) -> None:
    paths = {"nli": str(write_triplets(tmp_path / "nli.jsonl")), "sts": str(write_pairs(tmp_path / "sts.csv"))}
    files = [f"data.{split}={paths['nli']}" for split in ("train", "dev")]
    given = (SEEDS, AVERAGE, *SHORT, "loss.matryoshka_dims=[16]", "tracking.models=false")
    config = tiny_config(*given, *(files if shape == "triplets" else []))
    if shape == "mixture":
        sets = {name: {"train": path, "dev": path} for name, path in paths.items()}
        config = replace(config, data=Mixture(sets=sets, primary="sts"))
    examples = load_examples(config.data)
    result = run_experiment(config, replace(examples, test=examples.dev) if shape == "triplets" else examples)
    first = Result.load(Path(config.folder) / "seeds" / "1")
    assert result.scores.keys() == first.scores.keys() and result.shape == first.shape
    assert result.seeds and result.seeds.gain_over_seeds and result.gain
    assert any("_dim_16" in name for name in result.scores)
    assert result.before.value == first.before.value
    assert result.evaluated_on == ("test" if shape == "triplets" else "dev")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([AVERAGE], r"trainer\.seeds_result must be first without several trainer\.seeds"),
        ([SEEDS, "trainer.seeds_result=best"], r"trainer\.seeds_result must be one of \['first', 'average'\]"),
    ],
)
def test_other_configurations_are_refused(given: list[str], said: str, tiny_config: TinyConfig) -> None:
    with pytest.raises(UserError, match=said):
        tiny_config(*given)
