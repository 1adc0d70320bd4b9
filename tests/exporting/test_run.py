"""The command: folder, comparison, card, record in MLflow, prediction with the export, mistakes in a sentence."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from sentence_transformers import SentenceTransformer

import src.train
from src.config import Config
from src.config.commands import PredictConfig
from src.config.data import PairFiles
from src.config.evaluation import EvaluateConfig, SuiteConfig
from src.config.export import ExportConfig, ExportOptions
from src.config.tracking import TrackingConfig
from src.evaluation.result import Result
from src.exporting import export_model
from src.exporting.folder import INFO, README, TOKENIZER
from src.prediction import run_prediction
from src.prediction.encoder import load_model
from src.suite import run_evaluation
from src.sync import run as sync_command
from src.tracking.journal_search import find_journals
from src.utils.errors import UserError
from tests.exporting.conftest import DIFFICULT

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

pytestmark = pytest.mark.export

PROMPTS = ['+model.prompts={query: "query: ", passage: "passage: "}', "model.default_prompt_name=query"]
Export = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(tiny_config_in: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a store and the experiment `result`, trained on pairs with prompts."""
    folder = tmp_path_factory.mktemp("trained")
    src.train.run(tiny_config_in(folder, *PROMPTS))
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the working directory."""
    _artifact_repos_cache.clear()  # by run id: the same run lies in the copy of every test
    folder = tmp_path / "project"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def export(project: Path, monkeypatch: pytest.MonkeyPatch) -> Export:
    """Export the experiment, or what else is given; the tiny model may lose any amount."""
    monkeypatch.setattr("src.training.precision.use_threads", lambda _: 1)

    def exported(dims: int | None = None, tolerance: float = 1.0, **settings: Any) -> Path:
        tracking = TrackingConfig(uri=f"sqlite:///{project}/mlflow.db", artifacts=str(project / "artifacts"))
        given: dict[str, Any] = {"model": "result", "tracking": tracking, **settings}
        return export_model(ExportConfig(export=ExportOptions(dims, tolerance), **given))

    return exported


def recorded(project: Path) -> tuple[MlflowClient, str, str]:
    """Return a client of the store, the id of the run and that of its logged model."""
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    run = client.get_run(Result.load(project / "result").run_id)
    (model,) = client.search_logged_models([run.info.experiment_id])
    return client, run.info.run_id, model.model_id


def test_an_export_is_complete_and_compared_on_the_evaluated_pairs(export: Export, project: Path) -> None:
    folder = export(precision="int8", dims=16)
    assert folder == Path("result/export/onnx-int8-16")
    names = {"model.onnx", TOKENIZER, INFO, README}
    assert {path.name for path in folder.iterdir()} == names
    info, result = json.loads((folder / INFO).read_text("utf-8")), Result.load(project / "result")
    proof = info["proof"]
    assert (info["dimensions"], info["max_length"]) == (16, load_model("result", "").max_seq_length)
    assert info["prompts"]["query"] == "query: "
    assert info["default_prompt_name"] == "query"
    assert (proof["examples"], proof["metric"]) == (result.evaluated_pairs, "Spearman")
    assert proof["by_dimension"]["32"][0] == pytest.approx(result.leading.value, abs=1e-6)
    assert list(proof["by_dimension"]) == ["32", "16"]
    assert proof["torch"] == proof["by_dimension"]["16"][0]
    assert proof["difference"][0] == pytest.approx(proof["exported"] - proof["torch"])
    assert proof["difference"][1] <= proof["difference"][0] <= proof["difference"][2]
    assert proof["cosine_min"] <= proof["cosine_mean"] <= 1
    assert set(proof["speed"]["milliseconds"]) == {"torch fp32", "torch bf16", "export"}
    assert proof["threads"] == 1
    assert '"query: " (query)' in (folder / README).read_text("utf-8").replace("`", "")


def test_the_section_of_the_card_lists_the_exports_of_this_model_and_is_replaced(export: Export, project: Path) -> None:
    card = project / "result" / "model" / "README.md"
    before = card.read_text("utf-8")
    export(precision="fp16")
    export(precision="fp32")
    export(precision="fp32")
    text = card.read_text("utf-8")
    assert text.count("## Exports") == text.count("<!-- exports -->") == 1
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| export/")] == [
        "export/onnx-fp16",
        "export/onnx-fp32",
    ]
    assert "| 32 | " in text
    head, _, rest = text.partition("\n<!-- exports -->")
    tail = rest.partition("<!-- end of exports -->\n")[2]
    assert (head.rstrip() + "\n" + tail).split() == before.split()
    card.write_bytes(b"\xff" + card.read_bytes())
    export(precision="fp32")
    assert card.read_bytes() == b"\xff" + text.encode()
    card.write_text(text, "utf-8")
    shutil.rmtree("result/export/onnx-fp16")
    info = json.loads(Path("result/export/onnx-fp32", INFO).read_text("utf-8"))
    shutil.copytree("result/export/onnx-fp32", "result/export/older")
    Path("result/export/older", INFO).write_text(json.dumps(info | {"digest": "that of a former training"}), "utf-8")
    export(precision="fp32")
    lines = [line for line in card.read_text("utf-8").splitlines() if line.startswith("| export/")]
    assert len(lines) == 1


def test_the_export_is_recorded_in_the_run_and_its_logged_model(export: Export, project: Path, tmp_path: Path) -> None:
    client, run_id, model_id = recorded(project)
    before = client.get_run(run_id).info
    export(precision="fp32")
    after = client.get_run(run_id).info
    assert (after.status, after.end_time) == (before.status, before.end_time)
    names = {Path(each.path).name for each in client.list_artifacts(run_id, "export/onnx-fp32")}
    assert names >= {"model.onnx", TOKENIZER, INFO, README, "MLmodel"}
    same = {Path(each.path).name for each in client.list_logged_model_artifacts(model_id, "export/onnx-fp32")}
    assert same == names
    assert not find_journals(project / "result")
    copy = Path(client.download_artifacts(run_id, "export/onnx-fp32", str(tmp_path)))
    given = load_model("result/export/onnx-fp32", "").encode(DIFFICULT)
    assert (load_model(str(copy), "").encode(DIFFICULT) == given).all()  # the files are those of the folder


def test_the_flavour_of_mlflow_embeds_token_ids(export: Export, project: Path) -> None:
    import mlflow.pyfunc

    export(precision="fp32")
    client, run_id, _ = recorded(project)
    folder = client.download_artifacts(run_id, "export/onnx-fp32")
    encoder = SentenceTransformer("result/model", device="cpu")
    features = encoder.preprocess(DIFFICULT)
    inputs = {name: features[name].numpy() for name in ("input_ids", "attention_mask")}
    found = mlflow.pyfunc.load_model(folder).predict(inputs)["sentence_embedding"]
    np.testing.assert_allclose(found, encoder.encode(DIFFICULT, prompt=""), atol=1e-5)


def test_an_outage_of_the_store_leaves_the_record_to_sync(
    export: Export, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client, run_id, _ = recorded(project)
    uri = f"sqlite:///{project}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("src.tracking.writer.probe_sqlite", _unreachable)
        folder = export(precision="fp32")
    assert "1 entries not sent yet" in " ".join(capsys.readouterr().out.split())
    assert (folder / "model.onnx").is_file()
    assert not client.list_artifacts(run_id, "export")
    assert len(find_journals(project / "result")) == 1
    sync_command(["result", f"uri={uri}"])
    assert {Path(each.path).name for each in client.list_artifacts(run_id, "export/onnx-fp32")} >= {"model.onnx", INFO}
    assert client.get_run(run_id).info.status == "FINISHED"
    assert not find_journals(project / "result")


def test_an_export_of_which_no_copy_can_be_kept_is_named_and_leaves_no_journal(
    export: Export, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.tracking.kept._link", _no_room)
    folder = export(precision="fp32")
    assert "it is not recorded in MLflow, as no copy of it could be kept" in " ".join(capsys.readouterr().out.split())
    assert (folder / "model.onnx").is_file() and not find_journals(project / "result")


def _no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")


def _unreachable(uri: str) -> None:
    raise ConnectionError("the store is unreachable")


def test_a_store_without_the_run_is_named_and_the_export_stays(
    export: Export, project: Path, empty_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_store, project / "other.db")
    folder = export(tracking=TrackingConfig(uri=f"sqlite:///{project}/other.db"))
    run_id = Result.load(project / "result").run_id
    assert f"other.db has no run {run_id}" in " ".join(capsys.readouterr().out.split())
    assert (folder / "model.onnx").is_file()
    assert not find_journals(project / "result")


def test_an_export_that_loses_too_much_fails_and_leaves_nothing(
    export: Export, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    import src.exporting.conversion as conversion

    def spoilt(factors: list[float]) -> Callable[[Path, Path], None]:
        """Return a function that writes a graph with each number of an embedding multiplied by a factor."""

        def store(source: Path, target: Path) -> None:
            model = onnx.load(source)
            weights = onnx.numpy_helper.from_array(np.array(factors, dtype=np.float32), "factors")
            model.graph.initializer.append(weights)
            (last,) = [node for node in model.graph.node if "sentence_embedding" in node.output]
            last.output[0] = "clean"
            model.graph.node.append(onnx.helper.make_node("Mul", ["clean", "factors"], ["sentence_embedding"]))
            onnx.save(model, target)

        return store

    before = {path: path.stat().st_mtime_ns for path in project.rglob("*") if path.is_file()}
    monkeypatch.setitem(conversion.STORES, ("onnx", "int8"), spoilt([1, 1] + 30 * [0]))
    with pytest.raises(UserError, match=r"expected to lose at most 0.0001 Spearman, found .* so nothing was written"):
        export(precision="int8", tolerance=0.0001)
    monkeypatch.setitem(conversion.STORES, ("onnx", "fp32"), spoilt(16 * [1] + 16 * [0.5]))
    with pytest.raises(UserError, match=r"expected embeddings equal to those of torch, found a cosine of"):
        export(precision="fp32")
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*") if path.is_file()} == before
    assert not Path("result/export").exists()


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_predictions_with_an_export_are_those_of_the_model(format: str, export: Export, project: Path) -> None:
    if format == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    folder = export(format=format)
    pd.DataFrame({"text": DIFFICULT[2:6]}).to_csv("queries.csv", index=False)
    found = {}
    for model in ("result", str(folder)):
        run_prediction(PredictConfig(model=model, pairs="pairs.csv", output="scored.parquet"))
        run_prediction(
            PredictConfig(model=model, queries="queries.csv", candidates="queries.csv", top_k=3, output="r.csv")
        )
        found[model] = pd.read_parquet("scored.parquet"), pd.read_csv("r.csv")
    for one, other in zip(*found.values(), strict=True):
        column = "predicted" if "predicted" in one else "score"
        np.testing.assert_allclose(one[column], other[column], atol=1e-5)
        assert one.drop(columns=column).equals(other.drop(columns=column))


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("model.onnx", b"broken", "model.onnx: expected the file that export.json describes, found another"),
        (TOKENIZER, None, "tokenizer.json: expected the file that export.json describes, found none"),
        (INFO, b"{}", r"export.json: expected the description of an export, found KeyError\('format'\)"),
        (INFO, b"[", "export.json: expected the description of an export, found JSONDecodeError"),
    ],
)
def test_a_damaged_export_is_a_sentence(
    name: str, content: bytes | None, found: str, export: Export, project: Path
) -> None:
    path = export() / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=found):
        load_model(str(path.parent), "")


def test_dimensions_that_the_graph_does_not_have_are_a_sentence(export: Export) -> None:
    path = export() / INFO
    path.write_text(path.read_text("utf-8").replace('"dimensions": 32', '"dimensions": 16'), "utf-8")
    with pytest.raises(UserError, match=r"export\.json: expected dimensions 32, which the graph has, found 16"):
        load_model(str(path.parent), "").encode(["방"])


def test_predictions_without_all_evaluated_pairs_are_refused(export: Export, project: Path) -> None:
    path = project / "result" / "predictions.parquet"
    pd.read_parquet(path).head(30).to_parquet(path)
    with pytest.raises(UserError, match=r"predictions\.parquet: expected the evaluated pairs, found 30 of 40"):
        export()


def test_an_export_is_evaluated_beside_its_model(export: Export, project: Path) -> None:
    folder = export()
    settings = EvaluateConfig(str(folder), "result", SuiteConfig(sets=["pairs.csv"]), output="report", threads=1)
    report = run_evaluation(settings)
    assert list(report.models) == ["onnx-fp32", "result"]
    (estimate,) = [each.estimate for each in report.sets[0].verdicts]
    assert estimate.value == pytest.approx(0, abs=1e-4)
    with pytest.raises(UserError, match="expected a model to export, found an export"):
        export(model=str(folder))


def test_a_missing_extra_is_a_sentence(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"format=onnx: expected the package onnxruntime, .* '\.\[onnx\]'"):
        export()
    with pytest.raises(UserError, match=r"format=onnx: expected the package onnxruntime, found it not installed"):
        load_model(str(folder), "")


def test_mistakes_are_sentences_and_leave_nothing(export: Export, project: Path) -> None:
    with pytest.raises(UserError, match=r"export\.dims must be at most 32, the dimensions of this model, found 33"):
        export(dims=33)
    with pytest.raises(UserError, match="output=artifacts: expected a former export or nothing"):
        export(output="artifacts")
    with pytest.raises(UserError, match="format must be one of"):
        export(format="tflite")
    with pytest.raises(UserError, match=r"export\.tolerance must be at least 0 and finite"):
        export(tolerance=-1)
    with pytest.raises(UserError, match=r"output=pairs\.csv/x: expected a folder that can take it, found a file at"):
        export(output="pairs.csv/x")
    shutil.move("result/model", "plain")
    with pytest.raises(UserError, match=r"model=plain: expected an experiment, .* or output=FOLDER"):
        export(model="plain")
    with pytest.raises(UserError, match=r"model=plain: expected an experiment, whose .* set data.dev=FILE"):
        export(model="plain", output="served")
    assert not Path("served").exists()


def test_a_model_without_an_experiment_is_compared_on_given_examples(export: Export, project: Path) -> None:
    shutil.move("result/model", "plain")
    rows = [
        {"anchor": f"질문 {number}", "positive": f"답 {number}", "negative": f"딴 답 {number}"} for number in range(12)
    ]
    pd.DataFrame(rows).to_csv("triplets.csv", index=False)
    data = replace(PairFiles(train=""), dev="triplets.csv")
    folder = export(model="plain", output="served", data=data)
    proof = json.loads((folder / INFO).read_text("utf-8"))["proof"]
    assert (proof["metric"], proof["examples"], proof["data"]) == ("nDCG@10", 12, "triplets.csv")
    assert proof["difference"] == [0, 0, 0]
    assert not Path("plain/README.md").read_text("utf-8").count("## Exports")


def test_a_registered_version_is_compared_on_the_data_of_its_run(export: Export, project: Path) -> None:
    shutil.move("result", "elsewhere")
    folder = export(model="models:/tiny/1", output="served/int8", precision="int8")
    proof = json.loads((folder / INFO).read_text("utf-8"))["proof"]
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    run_id = client.get_model_version("tiny", "1").run_id
    assert proof["examples"] == 40
    assert client.list_artifacts(run_id, "export/int8")


def test_the_examples_of_queries_are_those_of_the_configuration(
    tiny_config_in: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"anchor": f"질문 {number}", "positive": f"답 {number}"} for number in range(24)]
    pd.DataFrame(rows).to_csv("queries.csv", index=False)
    data = ["data.train=queries.csv", "data.dev=queries.csv", "loss=mnrl", "loss.matryoshka_dims=[32,8]"]
    config = tiny_config_in(tmp_path, *data)
    result = src.train.run(config)
    given = {"model": config.folder, "tracking": config.tracking, "export": ExportOptions(tolerance=1)}
    proof = json.loads((export_model(ExportConfig(**given)) / INFO).read_text("utf-8"))["proof"]
    assert (proof["metric"], proof["unit"]) == ("nDCG@10", "pairs")
    assert proof["exported"] == pytest.approx(result.leading.value, abs=1e-6)
    assert list(proof["by_dimension"]) == ["32", "8"]
    pd.DataFrame(rows[1:]).to_csv("queries.csv", index=False)
    with pytest.raises(UserError, match="expected the 24 examples on which it was evaluated, found others"):
        export_model(ExportConfig(**given))
