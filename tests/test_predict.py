"""The command: scores and rankings, their files, errors in one sentence, light start."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sentence_transformers import SentenceTransformer

from src.cli import CONF
from src.config.commands import PredictConfig
from src.config.model import HubEncoder
from src.data.files import open_file
from src.encoder import load_encoder
from src.encoder.prompts import save_column_prompts
from src.prediction import PredictionSummary, run_prediction, scoring, tables
from src.prediction.encoder import load_model
from src.prediction.run import SHOWN
from src.utils.errors import UserError

Predict = Callable[..., PredictionSummary]


@pytest.fixture
def predict(tiny_encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Predict with the tiny encoder; file names are relative to tmp_path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("src.training.precision.use_threads", lambda _: 1)
    # the figures below are those of fp32, whatever precision this machine is faster in
    given = {"model": str(tiny_encoder_folder), "precision": "fp32"}
    return lambda **settings: run_prediction(PredictConfig(**{**given, **settings}))


@pytest.fixture(scope="module")
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu")


@pytest.fixture
def texts(tmp_path: Path) -> tuple[list[str], list[str]]:
    """The texts of queries.csv and of candidates.jsonl."""
    queries = [f"{number}년차 개발자" for number in range(30)]
    candidates = [f"{number}년차 이상, 요구 스택 {number % 3}" for number in range(17)]
    pd.DataFrame({"profile": queries}).to_csv(tmp_path / "queries.csv", index=False)
    rows = [json.dumps({"id": number, "text": text}) for number, text in enumerate(candidates)]
    (tmp_path / "candidates.jsonl").write_text("\n".join(rows), "utf-8")
    return queries, candidates


def test_scores_equal_the_librarys_and_all_columns_keep_their_order(
    predict: Predict, pairs_file: Path, encoder: SentenceTransformer
) -> None:
    given = pd.read_csv(pairs_file)
    assert predict(pairs=str(pairs_file), output="scored.parquet").rows == len(given)
    scored = pd.read_parquet("scored.parquet")
    assert scored.columns.tolist() == ["sentence1", "sentence2", "score", "predicted"]
    assert scored["sentence1"].tolist() == given["sentence1"].tolist()
    assert scored["score"].astype(float).tolist() == given["score"].tolist()
    first, second = (encoder.encode(given[name].tolist()) for name in ("sentence1", "sentence2"))
    np.testing.assert_allclose(scored["predicted"], encoder.similarity_pairwise(first, second), atol=1e-6)


def test_columns_can_be_set_and_the_new_one_is_called_score(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("a\tb\nNA\tNA\n방\t역이 멀다\n", "utf-8")
    predict(pairs="p.tsv", sentence1="a", sentence2="b", output="scored.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text("utf-8").splitlines()]
    assert [list(row) for row in rows] == [["a", "b", "score"]] * 2
    assert rows[0]["a"] == "NA"
    assert rows[0]["score"] == pytest.approx(1, abs=1e-6)
    assert -1 <= rows[1]["score"] < 1


def test_unquoted_input_is_written_unquoted_and_every_remark_is_shown_once(
    predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    decomposed = normalize("NFD", "한국어")
    rows = [f'"방"이 {number}\t"{decomposed} \ufffd {number}' for number in range(50)]
    (tmp_path / "p.tsv").write_text("\n".join(["sentence1\tsentence2", *rows]), "utf-8")
    monkeypatch.setattr(tables, "CHUNK_ROWS", 7)
    predict(pairs="p.tsv", output="scored.tsv.gz")
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("100 value(s) begin with a quotation mark", "50 value(s) of 'sentence2' were not in", "U+FFFD"):
        assert shown.count(words) == 1
    with gzip.open("scored.tsv.gz", "rt", encoding="utf-8") as scored:
        assert [line.rpartition("\t")[0] for line in scored] == ["sentence1\tsentence2", *rows]


def test_line_breaks_are_reported(predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "p.csv").write_text('sentence1,sentence2\n"방\n집",역\n', "utf-8")
    predict(pairs="p.csv", output="scored.csv")
    assert "1 value(s) of 'sentence1' contain a line break" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("suffix", [".json", ".jsonl.gz", ".parquet"])
def test_nested_texts_are_scored_and_written_back_nested(suffix: str, predict: Predict, tmp_path: Path) -> None:
    rows = [{"pair": {"a": f"방 {number}", "b": ["x"]}, "c": "집"} for number in range(3)]
    (tmp_path / "p.json").write_text(json.dumps(rows), "utf-8")
    predict(pairs="p.json", sentence1="pair.a", sentence2="c", output=f"scored{suffix}")
    table = pa.concat_tables(open_file(tmp_path / f"scored{suffix}").chunks())
    assert table.drop_columns("score").to_pylist() == rows
    predict(queries="p.json", candidates="p.json", column="pair.a", top_k=1, output="ranked.csv")
    assert pd.read_csv("ranked.csv")["candidate"].tolist() == ["방 0", "방 1", "방 2"]


def test_an_input_that_changes_meanwhile_gives_no_output(
    predict: Predict, pairs_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*arguments: str) -> SentenceTransformer:
        pairs_file.write_text(pairs_file.read_text("utf-8") + "\n방,집,1", "utf-8")
        return load_model(*arguments)

    monkeypatch.setattr("src.prediction.run.load_model", load)
    with pytest.raises(UserError, match="expected 40 rows as in the check of the input, found 41"):
        predict(pairs=str(pairs_file), output="scored.csv")
    assert not Path("scored.csv").exists()


def test_chunks_have_the_scores_of_the_library_and_encode_no_sentence_twice(
    predict: Predict, pairs_file: Path, encoder: SentenceTransformer
) -> None:
    given = pd.read_csv(pairs_file)
    many = pd.concat([given] * 60, ignore_index=True)
    assert len(many) > 2 * tables.CHUNK_ROWS
    many.to_csv("many.csv", index=False)
    distinct = len(set(given["sentence1"]) | set(given["sentence2"]))
    assert predict(pairs="many.csv", output="scored.csv").encoded == distinct
    first, second = (encoder.encode(given[name].tolist()) for name in ("sentence1", "sentence2"))
    expected = np.tile(encoder.similarity_pairwise(first, second), 60)
    np.testing.assert_allclose(pd.read_csv("scored.csv")["predicted"], expected, atol=1e-6)
    assert predict(pairs="many.csv", output="again.csv", cache_mb=0, batch_size=1).encoded > 2 * distinct
    np.testing.assert_allclose(pd.read_csv("again.csv")["predicted"], expected, atol=1e-6)


def test_the_meaning_of_quotation_marks_can_be_set(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text('sentence1\tsentence2\n"방"\t"집"\n', "utf-8")
    for quoting, text in (("csv", "방"), ("none", '"방"')):
        predict(pairs="p.tsv", quoting=quoting, output="scored.jsonl")
        assert json.loads((tmp_path / "scored.jsonl").read_text("utf-8"))["sentence1"] == text


def test_without_output_the_first_pairs_are_printed(
    predict: Predict, pairs_file: Path, capsys: pytest.CaptureFixture
) -> None:
    assert predict(pairs=str(pairs_file)).rows == SHOWN
    shown = capsys.readouterr().out
    assert "방이 좋아요" in shown
    assert "predicted" in shown
    assert "first 20 of 40 pairs" in shown


def test_long_korean_texts_are_printed_completely(
    predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    profile = "제주특별자치도 거주, 4년차 개발자, 스택: HTML/CSS/JS. 추가: 토이 프로젝트, 온라인 중심"
    posting = (
        "충청북도 지역 프로젝트, 요구 스택: Next.js, 필요 경력: 7년차 이상 이상. 특이사항: CS 전공자 필수, 팀 협업"
    )
    pd.DataFrame([{"sentence1": profile, "sentence2": posting}]).to_csv(tmp_path / "p.csv", index=False)
    predict(pairs="p.csv")
    words = capsys.readouterr().out.split()
    assert [word for word in f"{profile} {posting}".split() if word not in words] == []


def test_a_text_that_looks_like_markup_is_printed_unchanged(
    predict: Predict, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "p.csv").write_text("sentence1,sentence2\n[bold]방[/],[/red]\n", "utf-8")
    predict(pairs="p.csv")
    assert "[bold]방[/]  [/red]" in capsys.readouterr().out


def test_queries_and_candidates_can_have_different_columns(
    predict: Predict, texts: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    pd.DataFrame({"id": [1, 2], "posting": texts[1][:2]}).to_csv(tmp_path / "postings.csv", index=False)
    settings = {"queries": "queries.csv", "candidates": "postings.csv", "top_k": 2, "output": "ranked.csv"}
    predict(**settings, column="profile", candidate_column="posting")
    assert set(pd.read_csv("ranked.csv")["candidate"]) == set(texts[1][:2])
    with pytest.raises(UserError, match=r"postings\.csv: .* set candidate_column=COLUMN"):
        predict(**settings, column="profile")


@pytest.mark.parametrize("top_k", [1, 5, 17])
def test_a_ranking_equals_the_order_of_all_cosines(
    top_k: int, predict: Predict, texts: tuple[list[str], list[str]], encoder: SentenceTransformer
) -> None:
    queries, candidates = texts
    assert predict(queries="queries.csv", candidates="candidates.jsonl", top_k=top_k, output="ranked.csv").rows == 30
    table = pd.read_csv("ranked.csv")
    assert table.columns.tolist() == ["query", "rank", "candidate", "score"]
    assert table["query"].tolist() == [query for query in queries for _ in range(top_k)]
    assert table["rank"].tolist() == list(range(1, top_k + 1)) * 30
    cosines = encoder.similarity(encoder.encode(queries), encoder.encode(candidates))
    best = cosines.topk(top_k).values.flatten()
    np.testing.assert_allclose(table["score"], best, atol=1e-6)
    rows, columns = (
        [texts.index(text) for text in table[name]] for texts, name in ((queries, "query"), (candidates, "candidate"))
    )
    np.testing.assert_allclose(cosines[torch.tensor(rows), torch.tensor(columns)], best, atol=1e-6)


def test_a_trained_models_prompts_need_no_option(
    predict: Predict, texts: tuple[list[str], list[str]], tiny_encoder_folder: Path
) -> None:
    prompts = {"query": "질문: ", "passage": "문서: "}
    columns = {"sentence1": "query", "sentence2": "passage"}
    encoder = load_encoder(HubEncoder(path=str(tiny_encoder_folder), prompts=prompts, column_prompts=columns))
    encoder.save_pretrained("model", create_model_card=False)
    save_column_prompts(encoder, Path("model"))
    queries, candidates = texts
    asked, found = encoder.encode(queries, prompt="질문: "), encoder.encode(candidates, prompt="문서: ")
    predict(model="model", queries="queries.csv", candidates="candidates.jsonl", top_k=1, output="ranked.parquet")
    best = encoder.similarity(asked, found).max(dim=1).values
    np.testing.assert_allclose(pd.read_parquet("ranked.parquet")["score"], best, atol=1e-6)
    pd.DataFrame({"sentence1": queries[:17], "sentence2": candidates}).to_csv("pairs.csv", index=False)
    predict(model="model", pairs="pairs.csv", output="scored.parquet")
    scores = pd.read_parquet("scored.parquet")["score"]
    np.testing.assert_allclose(scores, encoder.similarity_pairwise(asked[:17], found), atol=1e-6)


def test_a_ranking_in_small_steps_is_equal(
    predict: Predict, texts: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(queries="queries.csv", candidates="candidates.jsonl", output="expected.csv")
    monkeypatch.setattr(scoring, "MAX_HITS", 20)
    monkeypatch.setattr(scoring, "CORPUS_CHUNK", 4)
    predict(queries="queries.csv", candidates="candidates.jsonl", output="steps.csv")
    pd.testing.assert_frame_equal(pd.read_csv("steps.csv"), pd.read_csv("expected.csv"), atol=1e-6)


def test_without_output_the_ranking_is_printed(
    predict: Predict, texts: tuple[list[str], list[str]], capsys: pytest.CaptureFixture
) -> None:
    predict(queries="queries.csv", candidates="candidates.jsonl", top_k=2)
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("19년차 개발자", " 2  ", "이상, 요구 스택", "first 20 of 30 queries"))


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no input": ({}, "found neither"),
    "no candidates": ({"queries": "queries.csv"}, "found queries"),
    "two inputs": (
        {"pairs": "pairs.csv", "queries": "queries.csv", "candidates": "candidates.jsonl"},
        "found pairs and queries and candidates",
    ),
    "no model": ({"pairs": "pairs.csv", "model": ""}, "model must be"),
    "model not found": ({"pairs": "pairs.csv", "model": "none"}, "model=none: expected"),
    "top_k of 0": ({"queries": "queries.csv", "candidates": "candidates.jsonl", "top_k": 0}, "top_k must be"),
    "top_k too large": (
        {"queries": "queries.csv", "candidates": "candidates.jsonl", "top_k": 18},
        "number of candidates, 17, found 18",
    ),
    "column missing": (
        {"queries": "queries.csv", "candidates": "candidates.jsonl", "column": "text"},
        r"queries\.csv: expected the columns \['text'\]",
    ),
    "column ambiguous": ({"queries": "ambiguous.csv", "candidates": "candidates.jsonl"}, "set column=COLUMN"),
    "output is an input": ({"pairs": "pairs.csv", "output": "pairs.csv"}, "found the same"),
    "output is the other input": (
        {"queries": "queries.csv", "candidates": "candidates.jsonl", "output": "candidates.jsonl"},
        "found the same",
    ),
    "precision": ({"pairs": "pairs.csv", "precision": "fp8"}, "precision must be"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_sentence_and_writes_nothing(
    case: str, predict: Predict, texts: object, pairs_file: Path, tmp_path: Path
) -> None:
    settings, words = MISTAKES[case]
    (tmp_path / "ambiguous.csv").write_text("a,b\n1,2\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=words) as caught:
        predict(**{"output": "out.csv", **settings})
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_the_command_scores_and_exits_with_2_after_a_mistake(
    tiny_encoder_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent), "OMP_NUM_THREADS": "1"}

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "src.predict", f"model={tiny_encoder_folder}", *arguments]
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)

    done = command("pairs=pairs.csv", "output=scored.csv", "threads=1")
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "scored.csv")) == 40
    assert {path.name for path in tmp_path.iterdir()} == {"pairs.csv", "scored.csv"}
    (tmp_path / "ragged.csv").write_text("sentence1,sentence2\na,b,c\n")
    for wrong, end in ((["pairs=ragged.csv"], "in quotation marks."), (["pairs=pairs.csv", "top_q=3"], "")):
        done = command("output=other.csv", *wrong)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.strip().splitlines()) == 1
        assert done.stderr.strip().endswith(end)
        assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"pairs.csv", "ragged.csv", "scored.csv"}


PROBE = """
import runpy, sys
try:
    runpy.run_module("src.predict", run_name="__main__", alter_sys=True)
finally:
    print({"torch", "transformers", "sentence_transformers", "mlflow"} & sys.modules.keys())
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "model=empty pairs=pairs.csv top_q=3",
        "model=empty pairs=pairs.csv batch_size=0",
        "model=empty pairs=missing.csv",
        "model=empty pairs=ragged.csv",
        "model=empty pairs=pairs.csv output=missing/scored.csv",
        "model=empty queries=ragged.csv candidates=pairs.csv",
        "model=empty queries=pairs.csv candidates=pairs.csv top_k=41",
        "model=empty pairs=pairs.csv",
        "model=./missing pairs=pairs.csv",
        "model=pairs.csv pairs=pairs.csv",
    ],
)
def test_help_and_mistakes_are_answered_without_torch(arguments: str, pairs_file: Path, tmp_path: Path) -> None:
    (tmp_path / "ragged.csv").write_text("sentence1,sentence2\na,b,c\n")
    (tmp_path / "empty").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent)}
    line = [sys.executable, "-c", PROBE, *arguments.split()]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"
    expected = (0, 0) if arguments == "--help" else (2, 1)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == expected, done.stderr
