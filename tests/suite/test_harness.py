"""Our figures on KLUE-STS and KorSTS equal those of MTEB, the field's own harness, on the same pairs."""

import os
import socket
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from src.cli import CONF
from src.config.schema import load_suite
from src.prediction.encoder import load_model
from src.suite import harness
from src.suite.evaluation import score
from src.suite.harness import find_tasks, run_tasks
from src.suite.sets import LoadedSet, load_sets
from src.utils.errors import UserError

TASKS = {"KLUE-STS": "klue_all", "KorSTS": "korsts_dev"}
"""Tasks of MTEB, and the sets of korean_sts with the pairs that are here; MTEB's KorSTS takes the test pairs."""


@pytest.fixture
def sets() -> dict[str, LoadedSet]:
    if not (os.environ.get("KLUE_STS_DIR") and os.environ.get("KOR_NLU_DIR")):
        pytest.skip("needs KLUE_STS_DIR and KOR_NLU_DIR")
    return {one.name: one for one in load_sets(load_suite(CONF / "suite" / "korean_sts.yaml"))[0]}


def with_data(task: object, examples: Dataset) -> object:
    """Give a task local pairs in place of its data set, as its own transformation would."""
    table = examples.to_pandas().assign(score=lambda table: table["score"] * 5)
    (split,) = task.metadata.eval_splits
    task.dataset = DatasetDict({split: Dataset.from_pandas(table)})
    task.data_loaded = True
    return task


@pytest.mark.mteb
@pytest.mark.parametrize("model", ["tiny", "e5_small_ko"])
def test_our_figures_equal_those_of_mteb(
    model: str, sets: dict[str, LoadedSet], tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    encoder = load_model(str(tiny_encoder_folder) if model == "tiny" else model, "")
    monkeypatch.setattr(harness, "hub_reachable", lambda: True)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("MTEB opened a connection"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    tasks = [with_data(task, sets[TASKS[task.metadata.name]].examples) for task in find_tasks(list(TASKS))]
    theirs = run_tasks(encoder, tasks, batch_size=64)
    ours = score(encoder, [sets[name] for name in TASKS.values()], 64, "fp32")
    for task, name in TASKS.items():
        assert theirs[task]["cosine_spearman"] == pytest.approx(ours[name].leading, abs=1e-4)
    assert not list(tmp_path.rglob("*")), "MTEB wrote files"


@pytest.mark.mteb
def test_an_unknown_task_and_a_missing_network_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "hub_reachable", lambda: False)
    with pytest.raises(UserError, match=r"found the Hugging Face Hub|found it unreachable: go online"):
        find_tasks(["KorSTS"])
    with pytest.raises(UserError, match=r"expected names of tasks of MTEB, found .*KorSST"):
        find_tasks(["KorSST"])


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mteb", None)
    with pytest.raises(UserError, match=r'expected the package mteb, found .*--editable "\.\[mteb\]"'):
        find_tasks(["KorSTS"])
