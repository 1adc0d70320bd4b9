"""Speed and memory of scoring pairs, compared with the library's `encode` of both columns.

    python -m src.benchmark.prediction experiments/project_match

scores 100,000 project_match pairs, each of 500 profiles with each of 200 postings, and encodes some of them with the
library (`--plain 100000`: all). `--distinct` scores pairs without repeated sentences, so that the cache saves nothing.
"""

import time
from argparse import RawDescriptionHelpFormatter
from itertools import count, islice, product
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.csv

from src.cli import Parser, parser_command
from src.config.commands import PredictConfig
from src.config.data import ProjectMatch
from src.config.tracking import default_uri
from src.data import load_examples
from src.prediction import PredictionSummary, run_prediction
from src.prediction.encoder import load_model
from src.utils.console import console, log_table
from src.utils.environment import peak_memory_mb

POSTINGS = 200
SAMPLE = Path(__file__).parents[1] / "data" / "sample" / "train.csv"


def matched_pairs(pairs: int) -> pa.Table:
    """Return this many pairs, at most about 1.8 million: each profile in turn with 200 postings."""
    generated = load_examples(ProjectMatch(train_pairs=20_000)).train
    profiles, postings = (list(dict.fromkeys(generated[name])) for name in ("sentence1", "sentence2"))
    rows = islice(product(profiles, postings[:POSTINGS]), pairs)
    return pa.table(list(zip(*rows, strict=True)), names=["sentence1", "sentence2"])


def distinct_pairs(pairs: int) -> pa.Table:
    """Return this many pairs without repeated sentences: the numbered reviews of the sample."""
    reviews = pa.csv.read_csv(SAMPLE)["sentence1"].unique().to_pylist()
    texts = (f"{text} ({number})" for number in count() for text in reviews)
    return pa.table([list(islice(texts, pairs)), list(islice(texts, pairs))], names=["sentence1", "sentence2"])


def run(model: str, pairs: int, plain: int, distinct: bool, precision: str) -> None:
    """Time `src.predict` and the library's `encode`, and print the comparison."""
    table = distinct_pairs(pairs) if distinct else matched_pairs(pairs)
    summary = _predict(model, table, precision)
    peak = peak_memory_mb()
    part = table.take(list(range(0, pairs, max(1, pairs // plain))))
    seconds = _encode_seconds(model, part) * pairs / part.num_rows
    rows = {
        "src.predict": f"{summary.seconds:,.1f} s, {pairs / summary.seconds:,.0f} pairs a second",
        "sentences encoded": f"{summary.encoded:,}",
        "peak memory": f"{peak:,.0f} MiB",
        "encode, both columns": f"{seconds:,.1f} s, extrapolated from {part.num_rows:,} pairs",
        "speed-up": f"{seconds / summary.seconds:,.2f}",
    }
    log_table(f"{pairs:,} {'distinct' if distinct else 'project_match'} pairs, {model}", rows)


def parser() -> Parser:
    """Return the parser of the command line."""
    name = "python -m src.benchmark.prediction"
    parser = Parser(name, description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="e5_small_ko", help="as in src.predict (default: e5_small_ko)")
    parser.add_argument("--pairs", type=int, default=100_000, help="pairs to score (default: 100000)")
    parser.add_argument("--plain", type=int, default=500, help="pairs to encode for the comparison (default: 500)")
    parser.add_argument("--distinct", action="store_true", help="pairs without repeated sentences")
    parser.add_argument("--precision", default="fp32", help="of src.predict; encode is fp32 (default: fp32)")
    return parser


def _predict(model: str, table: pa.Table, precision: str) -> PredictionSummary:
    with TemporaryDirectory() as folder:
        pairs, output = Path(folder) / "pairs.csv", Path(folder) / "scored.csv"
        pa.csv.write_csv(table, pairs)
        return run_prediction(PredictConfig(model=model, pairs=str(pairs), output=str(output), precision=precision))


def _encode_seconds(model: str, pairs: pa.Table) -> float:
    encoder = load_model(model, default_uri())
    encoder.encode(pairs["sentence1"][:32].to_pylist())
    start = time.perf_counter()
    with console.status("Encoding both columns with the library"):
        for column in pairs.columns:
            encoder.encode(column.to_pylist())
    return time.perf_counter() - start


if __name__ == "__main__":
    parser_command(run, parser())()
