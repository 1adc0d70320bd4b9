"""An evaluation from settings to reports: scores, verdicts, files, card and tracking."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from mlflow import MlflowClient
from PIL import Image

from src.config import Config
from src.config.data import PairFiles
from src.config.evaluation import EvaluateConfig, SuiteConfig
from src.data import load_examples
from src.data.examples import digest
from src.encoder import load_encoder
from src.evaluation.library import library_evaluator
from src.evaluation.result import Result
from src.prediction.encoder import load_model
from src.suite import run_evaluation
from src.suite.run import evaluate_trained
from src.tracking import sync_journals
from src.utils.errors import UserError

Settings = Callable[..., EvaluateConfig]


def test_scores_equal_those_of_the_library_on_all_shapes(sets: list, settings: Settings, trained: Config) -> None:
    report = run_evaluation(settings(sets, record=False))
    assert [(one.name, one.shape, one.unit) for one in report.sets] == [
        ("scored", "scored", "pairs"),
        ("nli", "labelled", "pairs"),
        ("triplets", "triplets", "queries"),
    ]
    encoders = {Path(trained.folder).name: load_model(trained.folder, ""), "base": load_encoder(trained.model)}
    for one, given in zip(report.sets, sets, strict=True):
        path = given if isinstance(given, str) else given["dev"]
        examples = load_examples(PairFiles(train=path, dev=path)).dev
        assert one.digest == digest(examples)
        for name, encoder in encoders.items():
            expected = library_evaluator(examples, "x")(encoder)
            for metric, estimate in one.scores[name].items():
                assert estimate.value == pytest.approx(expected[f"x_{metric}"], abs=1e-5)
                assert estimate.low <= estimate.value <= estimate.high
        assert one.verdicts[0].estimate.value == pytest.approx(
            np.subtract(*(one.scores[name][one.metric.name].value for name in encoders)), abs=1e-12
        )


def test_each_distinct_sentence_is_encoded_once_for_each_model(
    sets: list, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers import SentenceTransformer

    encode, seen = SentenceTransformer.encode, []

    def counted(self: SentenceTransformer, texts: object, **options: object) -> object:
        seen.append(list(texts) if not isinstance(texts, str) else [])
        return encode(self, texts, **options)

    monkeypatch.setattr(SentenceTransformer, "encode", counted)
    run_evaluation(settings([*sets, {"name": "again", "dev": sets[0]}], record=False))
    calls = [texts for texts in seen if texts]
    assert len(calls) == 2 and all(len(texts) == len(set(texts)) for texts in calls)


def test_training_sentences_in_a_set_are_counted_and_told(
    sets: list, settings: Settings, trained: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run_evaluation(settings(sets, record=False))
    assert [one.seen for one in report.sets] == [2, 0, 0]
    assert "training set: 2 of 26 in scored." in " ".join(capsys.readouterr().out.split())
    old = tmp_path / "old"
    shutil.copytree(trained.folder, old)
    (old / "train_sentences.npy").unlink()
    report = run_evaluation(settings(sets, model=str(old), against=None, record=False))
    assert [one.seen for one in report.sets] == [None] * 3
    assert "Which sentences old was trained on is not known." in (old / "evaluation.md").read_text()


def test_files_card_and_store_have_the_report(sets: list, settings: Settings, trained: Config) -> None:
    folder, client = Path(trained.folder), MlflowClient(trained.tracking.uri)
    result = Result.load(folder)
    ended = client.get_run(result.run_id).info.end_time
    for _ in range(2):
        report = run_evaluation(settings(sets))
    values = json.loads((folder / "evaluation.json").read_text())
    scored = report.sets[0]
    leading = scored.scores[report.model]["spearman_cosine"]
    assert values["sets"][0]["scores"][report.model]["spearman_cosine_low"] == leading.low
    assert values["sets"][0]["against"]["base"]["verdict"] == scored.verdicts[0].word
    assert Image.open(folder / "evaluation.png").width > 500

    text = (folder / "model" / "README.md").read_text()
    assert text.count("## Evaluation on mine") == 1 and text.index("on mine") < text.index("## Bias, Risks")
    card = ModelCard(text)
    assert [each.dataset_type for each in card.data.eval_results][:2] == ["sts-dev"] * 2
    found = [each.metric_value for each in card.data.eval_results if each.dataset_type == "suite-scored"]
    assert found[0] == leading.value and len(found) == 2

    run = client.get_run(result.run_id)
    assert (run.info.status, run.info.end_time) == ("FINISHED", ended)
    assert run.data.metrics["mine/scored/spearman_cosine"] == leading.value
    assert run.data.metrics["mine/scored/spearman_cosine_against_base"] == scored.verdicts[0].estimate.value
    (model,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{result.run_id}'")
    (metric, *_) = [each for each in model.metrics if each.key == "mine/scored/spearman_cosine"]
    assert (metric.dataset_name, metric.dataset_digest) == ("scored.csv mine scored", scored.digest)
    assert "mine nli" in {each.tags[0].value for each in run.inputs.dataset_inputs}
    assert "evaluation.png" in {each.path for each in client.list_artifacts(result.run_id)}
    assert not (folder / "journal").exists()


def test_an_outage_of_the_store_loses_nothing(
    sets: list, settings: Settings, trained: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.folder, copy)
    result, client = Result.load(copy), MlflowClient(trained.tracking.uri)
    with monkeypatch.context() as patch:
        patch.setattr("src.tracking.writer.open_store", lambda *_: (_ for _ in ()).throw(ConnectionError("down")))
        report = run_evaluation(settings([{"name": "late", "dev": sets[0]}], model=str(copy)))
    assert (copy / "journal").exists()
    assert "mine/late/spearman_cosine" not in client.get_run(result.run_id).data.metrics
    (sent,) = sync_journals(copy, trained.tracking, named=True)
    assert (sent.left, sent.problem) == (0, None)
    found = client.get_run(result.run_id).data.metrics["mine/late/spearman_cosine"]
    assert found == report.sets[0].scores["copy"]["spearman_cosine"].value


def test_a_model_without_an_experiment_is_evaluated_and_reported_where_asked(
    sets: list, settings: Settings, tiny_encoder_folder: Path, trained: Config, tmp_path: Path
) -> None:
    output = tmp_path / "report"
    config = settings(sets[:1], model=str(tiny_encoder_folder), against=[trained.folder], output=str(output))
    report = run_evaluation(config)
    assert sorted(path.name for path in output.iterdir()) == ["evaluation.json", "evaluation.md", "evaluation.png"]
    back = run_evaluation(settings(sets[:1], record=False))
    assert report.sets[0].verdicts[0].estimate.value == pytest.approx(-back.sets[0].verdicts[0].estimate.value)
    with pytest.raises(UserError, match="settings name the base encoder, found neither: name the other model"):
        run_evaluation(settings(sets[:1], model=str(tiny_encoder_folder)))


def test_a_registered_version_has_a_base(sets: list, settings: Settings, trained: Config) -> None:
    report = run_evaluation(settings(sets[:1], model="models:/tiny/1"))
    assert report.models == {"tiny/1": "models:/tiny/1", "base": "base encoder of models:/tiny/1"}
    folder = run_evaluation(settings(sets[:1], record=False))
    assert report.sets[0].verdicts[0].estimate == folder.sets[0].verdicts[0].estimate


def test_a_training_evaluates_its_result_and_survives_a_failure(
    trained: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.folder, copy)
    small = {"name": "project_match", "source": "project_match", "test_pairs": 20, "dev_pairs": 10, "train_pairs": 10}
    config = replace(trained, folder=str(copy))
    with monkeypatch.context() as patch:
        patch.setattr("src.suite.run.load_suite", lambda path: SuiteConfig("korean_sts", [small]))
        evaluate_trained(config)
    values = json.loads((copy / "evaluation.json").read_text())
    assert (values["suite"], list(values["models"])) == ("korean_sts", ["copy", "base"])
    assert values["sets"][0]["seen"] == 0
    monkeypatch.setattr("src.suite.run.evaluate_on_suite", lambda config: 1 / 0)
    evaluate_trained(config)
    printed = " ".join(capsys.readouterr().out.split())
    assert "was not evaluated on korean_sts: division by zero; run python -m src.evaluate model=" in printed
