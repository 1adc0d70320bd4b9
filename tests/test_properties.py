"""Property tests: no row is lost when read or batched, ranks are those of a sort, settings are valid or refused."""

import csv
import gzip
import json
import math
from io import StringIO
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from sentence_transformers import SentenceTransformer
from sklearn.metrics import average_precision_score, f1_score

from src.config.data import PairFiles
from src.config.training import TrainerConfig
from src.data.checks import CheckedSplit, check_examples
from src.data.columns import ROW
from src.data.files import FORMATS, kind_of, open_file, read_columns
from src.data.layouts import Layout
from src.data.shapes import SHAPES
from src.evaluation import retrieval
from src.evaluation.retrieval import Task, rank
from src.evaluation.statistics import average_precision, best_f1
from src.packing.attention import packed_attention
from src.packing.batches import PackedCollator, embed_packed
from src.packing.tokens import tokenize
from src.training.fine_tune import build_arguments, eval_interval, save_interval
from src.utils.errors import UserError
from tests.conftest import features_of
from tests.training.examples import make_losses, make_set, make_trainer

settings.register_profile(
    "gate",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # files are written anew for each example
)
settings.load_profile("gate")


@pytest.fixture(scope="module")
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu").eval()


NAMES = ("sentence1", "sentence2", "score")
SENTENCES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1).map(
    lambda text: f"가{text}"
)
ROWS = st.lists(st.tuples(SENTENCES, SENTENCES, st.floats(0, 1)), min_size=1, max_size=20)


def delimited(rows: list[tuple[str, str, float]], delimiter: str) -> bytes:
    written = StringIO(newline="")
    csv.writer(written, delimiter=delimiter).writerows([NAMES, *rows])
    return written.getvalue().encode()


def write(path: Path, rows: list[tuple[str, str, float]]) -> None:
    kind, records = kind_of(path), [dict(zip(NAMES, row, strict=True)) for row in rows]
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
        return
    if kind in (".csv", ".tsv"):
        content = delimited(rows, "," if kind == ".csv" else "\t")
    else:
        content = "\n".join(map(json.dumps, [records] if kind == ".json" else records)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def checked(path: Path) -> CheckedSplit:
    return check_examples(read_columns(open_file(path), NAMES, "advice"), str(path), Layout())


@pytest.mark.parametrize("suffix", FORMATS)
@given(rows=ROWS)
def test_every_written_row_is_read_in_order_and_in_nfc(
    suffix: str, rows: list[tuple[str, str, float]], tmp_path: Path
) -> None:
    path = tmp_path / f"pairs{suffix}"
    write(path, rows)
    table = checked(path).table
    read = list(zip(*(table[name].to_pylist() for name in NAMES), strict=True))
    assert read == [(normalize("NFC", first), normalize("NFC", second), score) for first, second, score in rows]
    assert table[ROW].to_pylist() == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=200)
@given(content=st.binary() | st.text().map(str.encode) | ROWS.map(lambda rows: delimited(rows, ",")[:-3]))
@example(content=b'sentence1,sentence2,score\na,b,"1')
@example(content=b'{"sentence1": "\\ud800", "sentence2": "a", "score": 1}')
def test_any_bytes_are_read_or_refused_in_one_sentence(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"pairs{suffix}"
    path.write_bytes(content)
    try:
        pairs = checked(path)
    except UserError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
    else:
        assert all(0 <= score <= 1 for score in pairs.table["score"].to_pylist())


SETS = {pairs: make_set("scored", pairs) for pairs in (2, 9, 64, 1000)}
NUMBERS = st.floats() | st.floats(0, 2) | st.integers(-1, 100).map(float)
TRAINER = st.fixed_dictionaries(
    {},
    optional={
        "batch_size": st.integers(-1, 64),
        "epochs": NUMBERS,
        "learning_rate": NUMBERS,
        "warmup_ratio": NUMBERS,
        "weight_decay": NUMBERS,
        "max_grad_norm": NUMBERS,
        "eval_steps": NUMBERS,
        "eval_every_epochs": NUMBERS,
        "save_steps": NUMBERS,
        "save_every_epochs": NUMBERS,
        "max_steps": st.integers(-2, 100),
        "seed": st.integers(-1, 2**33),
        "precision": st.sampled_from(["fp32", "fp16", "auto"]),
    },
)


@given(values=TRAINER, pairs=st.sampled_from([*SETS]))
def test_a_trainer_is_refused_by_its_key_or_evaluates_and_saves_after_whole_steps(
    values: dict[str, object], pairs: int, encoder: SentenceTransformer, tmp_path: Path
) -> None:
    try:
        config = TrainerConfig(**values)  # type: ignore[arg-type]
    except UserError as error:
        assert any(f"trainer.{key}" in str(error) for key in values)
        return
    data = SETS[pairs]
    arguments = build_arguments(config, encoder, data, make_losses(encoder, data), tmp_path)
    assert all(math.isfinite(value) for value in (arguments.learning_rate, arguments.num_train_epochs))
    assert arguments.eval_steps == eval_interval(config, pairs) >= 1
    assert arguments.save_steps == save_interval(config, pairs) >= 1
    if config.save_steps is None and config.save_every_epochs is None:
        assert arguments.eval_steps == arguments.save_steps
    assert OmegaConf.to_object(OmegaConf.create(OmegaConf.to_yaml(OmegaConf.structured(config)))) == vars(config)


@given(low=st.floats(), high=st.floats())
def test_a_range_of_scores_is_finite_and_ascending_or_refused(low: float, high: float) -> None:
    try:
        PairFiles(train="pairs.csv", min_score=low, max_score=high)
    except UserError as error:
        assert "data.m" in str(error)
        assert not low < high or not math.isfinite(high - low)
    else:
        assert 0 < high - low < math.inf


@settings(max_examples=20)
@given(shape=st.sampled_from([*SHAPES]), rows=st.integers(2, 60), batch=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_every_example_is_in_exactly_one_batch_of_an_epoch(
    shape: str, rows: int, batch: int, seed: int, encoder: SentenceTransformer, tmp_path: Path
) -> None:
    data = make_set(shape, rows)
    settings = {"batch_size": batch, "seed": seed, "used_rows": False}
    trainer = make_trainer(encoder, data, make_losses(encoder, data), tmp_path, **settings)
    batches = list(trainer.get_train_dataloader().batch_sampler)
    assert sorted(row for rows in batches for row in rows) == list(range(rows))
    assert len(batches) >= math.ceil(rows / batch)
    assert max(map(len, batches)) <= batch


SCORES = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=1, max_size=30)


@given(rows=SCORES)
def test_classification_metrics_are_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    labels, predicted = (np.array(values, dtype=float) for values in zip((1, 0), *rows, strict=True))
    assert average_precision(labels, predicted) == pytest.approx(average_precision_score(labels, predicted))
    thresholds = [f1_score(labels, predicted >= value) for value in set(predicted)]
    assert best_f1(labels, predicted) == pytest.approx(max(thresholds))


@st.composite
def columns_of_texts(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Anchors, positives and negatives as indices into 12 texts."""
    rows = draw(st.integers(1, 20))
    texts = st.lists(st.integers(0, 11), min_size=rows, max_size=rows).map(np.array)
    return {name: draw(texts) for name in ("anchor", "positive", "negative")}


DIRECTIONS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])


@given(
    columns=columns_of_texts(), of_texts=st.lists(st.integers(0, 2), min_size=12, max_size=12), size=st.integers(1, 60)
)
def test_ranks_are_those_of_a_stable_sort(columns: dict[str, np.ndarray], of_texts: tuple[int, ...], size: int) -> None:
    vectors = DIRECTIONS[list(of_texts)]  # many similarities are equal
    task = Task.of(columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "CELLS", size)
        found = rank(vectors, task)
    for query, text in enumerate(task.queries):
        scores = (vectors[text] @ vectors[task.candidates].T).numpy()
        order = np.argsort(-scores, kind="stable")
        right = np.isin(task.candidates[order], columns["positive"][columns["anchor"] == text])
        ranks = 1 + np.flatnonzero(right)
        assert found.ranks[query][: len(ranks)].tolist() == ranks[:10].tolist()
        assert np.isinf(found.ranks[query][len(ranks) :]).all()
        assert found.best[query] == order[right][0]
        if not right.all():
            assert found.wrong[query] == order[~right][0]


TEXTS = st.lists(st.text("방침대욕실 주방동네좋아요!", min_size=1, max_size=30), min_size=2, max_size=12)


@settings(max_examples=25)
@given(texts=TEXTS)
def test_packed_embeddings_equal_those_of_single_sentences(texts: list[str], encoder: SentenceTransformer) -> None:
    half = len(texts) // 2
    first, second = texts[:half], texts[half : 2 * half]
    data = Dataset.from_dict({"sentence1": first, "sentence2": second, "score": [0.5] * len(first)})
    batch = PackedCollator(heads=2, dtype=torch.float32)(list(tokenize(data, encoder)))
    with torch.no_grad(), packed_attention(encoder, enabled=True):
        packed = torch.cat(embed_packed(encoder, features_of(batch)))
    single = torch.cat([encoder.encode([text], convert_to_tensor=True) for text in (*first, *second)])
    torch.testing.assert_close(packed, single, atol=1e-5, rtol=1e-4)
