"""The section of a suite in a card that is not ours, and what it leaves as it is."""

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from src.evaluation.metrics import leading_metric
from src.evaluation.statistics import Estimate
from src.suite.card import END, START, update_card
from src.suite.evaluation import SetResult
from src.suite.report import Report, summary
from src.suite.verdicts import Verdict


def report(name: str = "tuned", value: float = 0.5) -> Report:
    scores = {model: {"spearman_cosine": Estimate(value, 0.4, 0.6)} for model in (name, "base")}
    verdict = Verdict("a_set", "base", Estimate(0.1, 0.05, 0.2), 0.01)
    one = SetResult("a_set", "a file | (files)", "scored", 40, "0" * 36, 70, 3, scores, [verdict])
    return Report("korean_sts", {name: f"experiments/{name}", "base": "base"}, [one], {"b_set": "no file"}, "fp32", 1.0)


@pytest.mark.parametrize("text", ["# A card\n\nText.\n", "---\nlicense: mit\ntags:\n- a\n---\n# A card\n\nText.\n"])
def test_the_section_is_added_once_to_any_card(text: str, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    update_card(tmp_path, report(value=0.4))
    update_card(tmp_path, report())
    card = ModelCard.load(path)
    assert path.read_text().count(START) == path.read_text().count(END) == 1
    assert card.text.index("Text.") < card.text.index(START)
    assert "| a\\_set |" in card.text or "| a_set |" in card.text
    assert "gain on a_set. Sentences that occur in its training set: 3 of 70 in a_set." in card.text
    assert "| b_set | no file |" in card.text
    assert [(each.dataset_type, each.metric_value) for each in card.data.eval_results] == [("suite-a_set", 0.5)]
    assert card.data.license == ("mit" if "license" in text else None)


@pytest.mark.parametrize(
    ("shape", "task"),
    [
        ("scored", "semantic-similarity"),
        ("labelled", "binary-classification"),
        ("positives", "information-retrieval"),
        ("triplets", "information-retrieval"),
    ],
)
def test_the_model_index_has_the_task_of_the_shape(shape: str, task: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# A card\n")
    made, name = report(), leading_metric(shape).name
    scores = {model: {name: Estimate(0.5, 0.4, 0.6)} for model in made.models}
    update_card(tmp_path, replace(made, sets=[replace(made.sets[0], shape=shape, scores=scores)]))
    (entry,) = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert entry.task_type == task


def test_an_evaluation_on_tasks_of_mteb_alone_says_nothing_about_sets() -> None:
    assert summary(replace(report(), sets=[], mteb={"KorSTS": {"tuned": {"main_score": 0.5}}})) == ""


def test_a_folder_without_a_card_stays_without_one(tmp_path: Path) -> None:
    update_card(tmp_path, report())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"---\na: [\n---\n# x", b"---\n- 1\n---\n# x", b"---\nmodel-index: 3\n---\n"]
)
def test_a_damaged_card_is_named_and_stays_as_it_is(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(content)
    update_card(tmp_path, report())
    assert path.read_bytes() == content
    assert "README.md: expected a model card, found" in " ".join(capsys.readouterr().out.split())
