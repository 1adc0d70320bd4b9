"""Property tests: readers lose no row, batches lose no pair, and settings are valid or refused."""

import csv
import gzip
import json
import math
from io import StringIO
from pathlib import Path
from unicodedata import normalize

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from sentence_transformers import SentenceTransformer

from src.config.data import PairFiles
from src.config.training import TrainerConfig
from src.data.checks import CheckedSplit, check_examples
from src.data.columns import ROW
from src.data.files import FORMATS, kind_of, open_file, read_columns
from src.data.layouts import Layout
from src.evaluation.evaluate import pair_evaluator
from src.evaluation.metrics import DEV
from src.training.attention import packed_attention
from src.training.clock import TrainingClock
from src.training.fine_tune import build_arguments, eval_interval, save_interval
from src.training.losses import build_loss
from src.training.packing import PackedCollator, embed_packed, features_of, tokenize
from src.training.trainer import ExampleTrainer
from src.utils.errors import UserError

settings.register_profile(
    "gate",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # files are written anew for each example
)
settings.load_profile("gate")

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


@given(values=TRAINER, pairs=st.integers(2, 10_000))
def test_a_trainer_is_refused_by_its_key_or_evaluates_and_saves_after_whole_steps(
    values: dict[str, object], pairs: int, tmp_path: Path
) -> None:
    try:
        config = TrainerConfig(**values)  # type: ignore[arg-type]
    except UserError as error:
        assert any(f"trainer.{key}" in str(error) for key in values)
        return
    arguments = build_arguments(config, pairs, tmp_path)
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


@pytest.fixture(scope="module")
def encoder(tiny_encoder_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_encoder_folder), device="cpu").eval()


@settings(max_examples=10)
@given(pairs=st.integers(2, 60), batch=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_every_pair_is_in_exactly_one_batch_of_an_epoch(
    pairs: int, batch: int, seed: int, encoder: SentenceTransformer, tmp_path: Path
) -> None:
    numbers = [number / pairs for number in range(pairs)]
    texts = ["방" * (1 + 7 * number % 11) for number in range(pairs)]
    data = Dataset.from_dict({"sentence1": texts, "sentence2": texts, "score": numbers})
    config = TrainerConfig(batch_size=batch, seed=seed, precision="fp32")
    trainer = ExampleTrainer(
        config,
        TrainingClock(),
        model=encoder,
        args=build_arguments(config, pairs, tmp_path),
        train_dataset=data,
        eval_dataset=data,
        loss=build_loss(encoder, "cosine_similarity"),
        evaluator=pair_evaluator(data, DEV, 32),
    )
    batches = [labels["label"].tolist() for labels in trainer.get_train_dataloader()]
    assert sorted(label for batch in batches for label in batch) == pytest.approx(numbers)
    assert len(batches) == math.ceil(pairs / batch)
    assert max(map(len, batches)) <= batch


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
