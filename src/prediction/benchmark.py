"""How fast pairs are scored beside the library's `encode` of both columns, and in how much memory.

    python -m src.prediction.benchmark experiments/project_match

scores 100,000 project_match pairs, every one of 500 profiles with every one of 200 postings, and encodes some of
them plainly (`--plain 100000`: all). `--distinct` takes pairs in which no sentence comes twice, so that nothing can be
gained by remembering.
"""

import resource
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from itertools import count, islice, product
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.csv

from src.config.data import ProjectMatch
from src.config.predict import PredictConfig
from src.data import load_pairs
from src.predict import run
from src.prediction.model import load_model
from src.report.console import console, print_table

POSTINGS = 200
SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "train.csv"


def matched_pairs(pairs: int) -> pa.Table:
    """Return so many pairs: one profile after the other, each with 200 postings; at most about 1.8 million."""
    generated = load_pairs(ProjectMatch(train_pairs=20_000)).train
    profiles, postings = (list(dict.fromkeys(generated[name])) for name in ("sentence1", "sentence2"))
    rows = islice(product(profiles, postings[:POSTINGS]), pairs)
    return pa.table(list(zip(*rows, strict=True)), names=["sentence1", "sentence2"])


def distinct_pairs(pairs: int) -> pa.Table:
    """Return so many pairs of different sentences: the sample's reviews, numbered."""
    reviews = pa.csv.read_csv(SAMPLE)["sentence1"].unique().to_pylist()
    texts = (f"{text} ({number})" for number in count() for text in reviews)
    return pa.table([list(islice(texts, pairs)), list(islice(texts, pairs))], names=["sentence1", "sentence2"])


def main(model: str, pairs: int, plain: int, distinct: bool, precision: str) -> None:
    """Measure and print."""
    table = distinct_pairs(pairs) if distinct else matched_pairs(pairs)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.csv"
        pa.csv.write_csv(table, file)
        scored = str(Path(folder) / "scored.csv")
        ours = run(PredictConfig(model=model, pairs=str(file), output=scored, precision=precision))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    part = table.take(list(range(0, pairs, max(1, pairs // plain))))
    seconds = _plain_seconds(model, part) * pairs / part.num_rows
    rows = {
        "src.predict": f"{ours.seconds:,.1f} s, {pairs / ours.seconds:,.0f} pairs a second",
        "sentences encoded": f"{ours.encoded:,}",
        "peak memory": f"{peak:,.0f} MiB",
        "encode, both columns": f"{seconds:,.1f} s, reckoned from {part.num_rows:,} pairs",
        "times as fast": f"{seconds / ours.seconds:,.2f}",
    }
    print_table(f"{pairs:,} {'distinct' if distinct else 'project_match'} pairs, {model}", rows)


def _plain_seconds(model: str, pairs: pa.Table) -> float:
    encoder = load_model(model, "")
    encoder.encode(pairs["sentence1"][:32].to_pylist())
    start = time.perf_counter()
    with console.status("Encoding both columns plainly"):
        for column in pairs.columns:
            encoder.encode(column.to_pylist())
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="e5_small_ko", help="as in src.predict (default: e5_small_ko)")
    parser.add_argument("--pairs", type=int, default=100_000, help="pairs to score (default: 100000)")
    parser.add_argument("--plain", type=int, default=500, help="pairs to encode for the comparison (default: 500)")
    parser.add_argument("--distinct", action="store_true", help="no sentence comes twice")
    parser.add_argument("--precision", default="fp32", help="of src.predict; encode is fp32 (default: fp32)")
    main(**vars(parser.parse_args()))
