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

import src.train
from src.config import Config
from src.config.data import PairFiles
from src.config.evaluation import EvaluateConfig, SuiteConfig
from src.data import load_examples
from src.data.examples import digest
from src.encoder import load_encoder
from src.evaluation import embedding
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
    encode, seen = embedding.encode, []

    def counted(encoder: object, texts: list[str], *options: object) -> object:
        seen.append(texts)
        return encode(encoder, texts, *options)

    monkeypatch.setattr(embedding, "encode", counted)
    run_evaluation(settings([*sets, {"name": "again", "dev": sets[0]}], record=False))
    assert len(seen) == 2 and all(len(texts) == len(set(texts)) for texts in seen)


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


def test_files_card_and_store_have_the_report(sets: list, settings: Settings, trained: Config, tmp_path: Path) -> None:
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

    elsewhere = run_evaluation(settings(sets[:1], output=str(tmp_path / "elsewhere")))
    client.download_artifacts(result.run_id, "evaluation.json", str(tmp_path))
    stored = json.loads((tmp_path / "evaluation.json").read_text())
    assert len(elsewhere.sets) == len(stored["sets"]) == 1


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
        evaluates = replace(config, folder=str(tmp_path / "own"), trainer=replace(config.trainer, evaluate_suite=True))
        src.train.run(evaluates)
        evaluate_trained(config)
    assert (tmp_path / "own" / "evaluation.json").is_file()
    values = json.loads((copy / "evaluation.json").read_text())
    assert (values["suite"], list(values["models"])) == ("korean_sts", ["copy", "base"])
    assert values["sets"][0]["seen"] == 0
    monkeypatch.setattr("src.suite.run.evaluate_on_suite", lambda config: 1 / 0)
    evaluate_trained(config)
    printed = " ".join(capsys.readouterr().out.split())
    assert "was not evaluated on korean_sts: division by zero; run python -m src.evaluate model=" in printed
    assert "Traceback" not in printed and "1 / 0" in (copy / "train.log").read_text(encoding="utf-8")


def test_any_name_of_another_model_can_be_part_of_a_metric(
    sets: list, settings: Settings, trained: Config, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    copy, first, second = tmp_path / "copy", tmp_path / "runs1" / "same", tmp_path / ("2" * 240) / "same"
    shutil.copytree(trained.folder, copy)
    for folder in (first, second):
        shutil.copytree(tiny_encoder_folder, folder)
    against = [f"{first}/", f"{second}//"]
    report = run_evaluation(settings([{"name": "named", "dev": sets[0]}], model=str(copy), against=against))
    assert list(report.models) == ["copy", *against]
    recorded = MlflowClient(trained.tracking.uri).get_run(Result.load(copy).run_id).data.metrics
    found = {name for name in recorded if name.startswith("mine/named/spearman_cosine_against")}
    assert len(found) == 6 and all(len(name) < 250 and name.count("/") == 2 for name in found)
    assert not (copy / "journal").exists()


def test_what_is_wrong_is_told_before_any_model_is_loaded(
    sets: list, settings: Settings, trained: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.suite.models.load_model", lambda *_: pytest.fail("a model was loaded"))
    copy = tmp_path / "copy"
    for name, content, found in (
        ("metrics.json", "{", "metrics.json: expected a result"),
        ("config.yaml", "name: x", r"config.yaml: expected the settings of a run .* found KeyError\('data'\)"),
    ):
        shutil.copytree(trained.folder, copy)
        (copy / name).write_text(content)
        with pytest.raises(UserError, match=found):
            run_evaluation(settings(sets[:1], model=str(copy), against=None))
        shutil.rmtree(copy)
    shutil.copytree(trained.folder, copy)
    recorded = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(recorded.replace(f"path: {trained.model.path}", "path: /gone"))
    with pytest.raises(UserError, match="copy: expected its base encoder in /gone, found no folder"):
        run_evaluation(settings(sets[:1], model=str(copy), against=["base"]))
    with pytest.raises(UserError, match=r"scored\.csv: expected a folder"):
        run_evaluation(settings(sets[:1], output=sets[0]))
    with pytest.raises(UserError, match=r"models:/tiny/9: expected .* Model Version .* not found"):
        run_evaluation(settings(sets[:1], against=["models:/tiny/9"]))
    with pytest.raises(UserError, match=r"^against=none: expected an experiment folder"):
        run_evaluation(settings(sets[:1], against=["none"]))
    with pytest.raises(UserError, match="against must be models other than model"):
        settings(sets, against=[trained.folder])
    with pytest.raises(UserError, match=r"suite.sets must be mappings of settings in first_of, found \[3\]"):
        settings([{"name": "x", "first_of": [3]}])


def test_the_training_sentences_of_a_registered_version_are_known(sets: list, settings: Settings) -> None:
    report = run_evaluation(settings(sets, model="models:/tiny/1", against=None))
    assert [one.seen for one in report.sets] == [2, 0, 0]


def test_a_metric_that_is_not_defined_is_left_out_of_card_and_store(
    settings: Settings,
    trained: Config,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    copy, same = tmp_path / "copy", tmp_path / "same.csv"
    shutil.copytree(trained.folder, copy)
    same.write_text("sentence1,sentence2,score\n" + "\n".join(f"방,방,{i / 9}" for i in range(10)))
    report = run_evaluation(settings([str(same)], model=str(copy)))
    assert report.sets[0].verdicts[0].word == "no difference shown"
    assert "not defined" in capsys.readouterr().out
    assert not [each for each in recwarn if "NaN" in str(each.message)]
    values = json.loads((copy / "evaluation.json").read_text())["sets"][0]
    assert values["scores"]["copy"]["spearman_cosine"] is None and values["against"]["base"]["difference"] is None
    card = ModelCard.load(copy / "model" / "README.md")
    assert "suite-same" not in {each.dataset_type for each in card.data.eval_results}
