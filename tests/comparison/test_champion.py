"""Promotion to champion: what earns it, what is refused, and what is recorded."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src.comparison.champion import Promotion, promote
from src.comparison.runs import read_runs
from src.tracking.champion import RegisteredModel
from src.utils.errors import UserError
from tests.conftest import noisy_predictions

Register = Callable[..., str]
Promote = Callable[..., Promotion]


@pytest.fixture
def uri(register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def client(uri: str) -> MlflowClient:
    return MlflowClient(uri, registry_uri=uri)


def test_runs_on_queries_are_judged_by_their_leading_metric(register: Register, client: MlflowClient, uri: str) -> None:
    for name, noise in (("late", 1.2), ("early", 0.2)):
        register(name, noise, shape="triplets")
    promote("late", uri)
    sentence = promote("early", uri).sentence
    assert sentence.startswith("version 2 is champion: nDCG@10 +0.")
    assert "over version 1 on 120 dev queries, p " in sentence


def champion(client: MlflowClient) -> str | None:
    version = client.get_registered_model("tiny").aliases.get("champion")
    return None if version is None else str(version)


def test_the_first_model_becomes_champion_and_is_so_only_once(
    register: Register, client: MlflowClient, uri: str
) -> None:
    register("first", 0.3)
    assert champion(client) is None
    assert promote("first", uri) == Promotion(True, "version 1 is champion: the first champion of tiny")
    assert champion(client) == "1"
    before = client.get_model_version_by_alias("tiny", "champion")
    assert promote("first", uri) == Promotion(True, "version 1 is champion already")
    assert client.get_model_version_by_alias("tiny", "champion").last_updated_timestamp == before.last_updated_timestamp


def test_a_gain_moves_the_alias_and_both_versions_say_why(register: Register, client: MlflowClient, uri: str) -> None:
    register("noisy", 0.6)
    register("sharp", 0.2)
    client.update_model_version("tiny", "1", "Mine.\n\nKept as it is.")
    client.update_model_version("tiny", "2", "**Bold** words.")
    promote("noisy", uri)
    promotion = promote("sharp", uri)
    assert promotion.champion and champion(client) == "2"
    assert promotion.sentence.startswith("version 2 is champion: Spearman +0.")
    assert promotion.sentence.endswith("over version 1 on 120 dev pairs, p 0.0004")
    reason = promotion.sentence.partition(": ")[2]
    former, new = (client.get_model_version("tiny", version) for version in "12")
    assert new.tags["champion.reason"] == reason
    assert former.tags["champion.until"] == new.tags["champion.since"]
    first, since = new.description.split("\n\n")
    assert first == "**Bold** words."
    assert since.startswith(f"**Champion since {new.tags['champion.since']}**, promoted by ")
    assert reason.replace("[", "\\[").replace("]", "\\]") in since
    mine, kept, since, until = former.description.split("\n\n")
    assert (mine, kept) == ("Mine.", "Kept as it is.")
    assert since.endswith("the first champion of tiny.")
    assert until.startswith(f"**Champion until {new.tags['champion.since']}**, replaced by version 2: Spearman +0.")
    assert [model.name for model in client.search_registered_models()] == ["tiny"]


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (0.31, "version 2 stays a candidate: no significant difference, Spearman "),
        (0.9, "version 2 stays a candidate: Spearman -0."),
    ],
)
def test_without_a_gain_the_champion_stays(
    noise: float, said: str, register: Register, client: MlflowClient, uri: str
) -> None:
    register("first", 0.3)
    register("other", noise)
    promote("first", uri)
    promotion = promote("other", uri)
    assert not promotion.champion and promotion.sentence.startswith(said)
    assert "against version 1 on 120 dev pairs, p " in promotion.sentence
    assert champion(client) == "1" and not client.get_model_version("tiny", "2").description


def test_other_data_are_refused_and_force_promotes_with_its_reason(
    register: Register, client: MlflowClient, uri: str
) -> None:
    register("first", 0.6)
    register("other", noisy_predictions(0.1).iloc[:100])
    promote("first", uri)
    with pytest.raises(UserError, match=r"expected runs evaluated on the same pairs, found models:/tiny/1 on 120"):
        promote("other", uri)
    assert champion(client) == "1"
    for empty in ("", " "):
        with pytest.raises(UserError, match=r"--force: expected the reason, found an empty one"):
            promote("other", uri, empty)
    promotion = promote("other", uri, " the data <b>\n were mended")
    assert promotion.sentence == "version 2 is champion: forced over version 1, the data <b> were mended"
    version = client.get_model_version_by_alias("tiny", "champion")
    assert str(version.version) == "2" and version.tags["champion.reason"] == promotion.sentence.partition(": ")[2]
    assert "the data \\<b\\> were mended" in version.description


def test_a_former_champion_that_returns_has_no_sign_of_its_end(
    register: Register, client: MlflowClient, uri: str
) -> None:
    register("one", 0.3)
    register("other", 0.3)
    promote("one", uri)
    promote("other", uri, "try it")
    promote("one", uri, "the other was worse")
    version = client.get_model_version_by_alias("tiny", "champion")
    assert str(version.version) == "1" and "champion.until" not in version.tags
    assert version.description.count("Champion") == 1 and "the other was worse" in version.description


def test_a_champion_set_by_hand_and_runs_without_any_record_are_compared(
    register: Register, client: MlflowClient, uri: str
) -> None:
    for name, noise in (("old", 0.6), ("hand", 0.6), ("sharp", 0.2)):
        register(name, noise)
    client.set_registered_model_alias("tiny", "champion", "2")
    assert "over version 2" in promote(client.get_model_version("tiny", "3").run_id, uri).sentence
    assert [run.result.run_id for run in read_runs(["models:/tiny@champion", "old"], uri, Path("scratch"))] == [
        "sharp",
        "old",
    ]


@pytest.mark.parametrize("damage", ["metrics.json", "predictions.parquet", "all"])
def test_a_champion_whose_result_is_lost_needs_force(
    damage: str, register: Register, client: MlflowClient, uri: str
) -> None:
    register("lost", 0.3)
    register("new", 0.2)
    promote("lost", uri)
    stored = Path("artifacts") / client.get_model_version("tiny", "1").run_id / "artifacts"
    if damage == "all":
        shutil.rmtree(stored)
    else:
        (stored / damage).write_text("damaged")
    with pytest.raises(UserError, match=r"models:/tiny/1: expected the result of the present champion, .* --force"):
        promote("new", uri)
    assert champion(client) == "1"
    assert promote("new", uri, "the former is lost").champion


def test_a_run_without_a_registered_model_is_refused(
    register: Register, make_run: Callable[..., Path], client: MlflowClient, uri: str
) -> None:
    register("first", 0.3)
    make_run("unknown", 0.2)
    client.set_terminated(client.create_run("0", tags={"journal": "unknown"}).info.run_id)
    for folder in ("unknown", str(make_run("it's", 0.2))):
        with pytest.raises(UserError, match=r"tiny: expected a registered model of the run .*, found none: train with"):
            promote(folder, uri)
    with pytest.raises(UserError, match=r"none\.db: expected an MLflow store, found no such file"):
        promote("first", "sqlite:///none.db")


def test_a_champion_that_changes_during_the_comparison_is_the_one_to_beat(
    register: Register, client: MlflowClient, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, noise in (("noisy", 0.6), ("sharp", 0.2), ("same", 0.2001)):
        register(name, noise)
    promote("noisy", uri)
    move = RegisteredModel.promote

    def overtaken(self: RegisteredModel, *arguments: str) -> bool:
        monkeypatch.setattr(RegisteredModel, "promote", move)
        promote("sharp", uri)
        return self.promote(*arguments)

    monkeypatch.setattr(RegisteredModel, "promote", overtaken)
    promotion = promote("same", uri)
    assert not promotion.champion and "against version 2" in promotion.sentence
    assert champion(client) == "2"
