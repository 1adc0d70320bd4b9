"""How fast pairs are scored, and in how much memory: python -m src.prediction.benchmark [PAIRS] [SENTENCES] [MODEL].

It makes up PAIRS pairs (2,000) out of SENTENCES different sentences (1,000) and scores them with src.predict. For
comparison it encodes both columns of the first of them with the library's `encode`.
"""

import random
import resource
import time
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.csv

from src.config.predict import PredictConfig
from src.predict import run
from src.prediction.model import load_model
from src.report.console import console, print_table

PLAIN = 500
"""Pairs encoded for the comparison."""
SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "train.csv"


def make_pairs(pairs: int, sentences: int, seed: int = 42) -> pa.Table:
    """Return pairs drawn at random from so many different sentences: the sample's, numbered when they run out."""
    table = pa.csv.read_csv(SAMPLE)
    real = sorted({text for name in ("sentence1", "sentence2") for text in table[name].to_pylist()})
    random.Random(seed).shuffle(real)
    rounds = range(-(-sentences // len(real)))
    known = [f"{text} ({number})" if number else text for number in rounds for text in real][:sentences]
    draw = random.Random(seed + 1).choices
    return pa.table({"sentence1": draw(known, k=pairs), "sentence2": draw(known, k=pairs)})


def main(pairs: int, sentences: int, model: str) -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.csv"
        table = make_pairs(pairs, sentences)
        pa.csv.write_csv(table, file)
        ours = run(PredictConfig(model=model, pairs=str(file), output=str(Path(folder) / "scored.csv")))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    encoder = load_model(model, "")
    first = table.slice(0, PLAIN)
    start = time.perf_counter()
    with console.status("Encoding both columns plainly"):
        for column in first.columns:
            encoder.encode(column.to_pylist())
    plain = first.num_rows / (time.perf_counter() - start)
    rows = {
        "src.predict": f"{ours.seconds:.1f} s, {pairs / ours.seconds:,.0f} pairs a second",
        "sentences encoded": f"{ours.encoded:,}",
        "peak memory": f"{peak:,.0f} MiB",
        "encode, both columns": f"{plain:,.0f} pairs a second, of the first {first.num_rows:,}",
    }
    print_table(f"{pairs:,} pairs of {sentences:,} sentences, {model}", rows)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=int, nargs="?", default=2000)
    parser.add_argument("sentences", type=int, nargs="?", default=1000)
    parser.add_argument("model", nargs="?", default="e5_small_ko")
    main(**vars(parser.parse_args()))
