"""Search in the accommodation reviews written for this project: which sentences have the meaning of the query?"""

from itertools import product

import numpy as np
import pyarrow as pa
from datasets import Dataset

from src.config.data import ReviewSearch
from src.data.examples import ExampleSet, Provenance, to_dataset
from src.data.files import open_file, read_columns
from src.data.klue_sts import SAMPLE
from src.data.shapes import SHAPES

QUERIES = 3
"""Sentences of a meaning that are queries; the other three are candidates."""
WRITTEN = (
    "Sentences written for this project, so that retrieval can be trained without a network; no benchmark: scores on"
    " them cannot be compared with published ones."
)

Scenes = dict[str, dict[str, list[str]]]
"""Sentences by scene and meaning: six for each meaning."""


def load_review_search(data: ReviewSearch) -> ExampleSet:
    """Return triplets of a query, a candidate of the same meaning, and one of another meaning of the same scene.

    Whole scenes are in train or in dev, and no sentence is both a query and a candidate, which would be ranked first
    for itself: neither in dev nor in a part that is split off from train.
    """
    rng = np.random.default_rng(data.seed)
    train, dev = (_triplets(_scenes(split), rng) for split in ("train", "dev"))
    provenance = Provenance("written accommodation reviews, for search", None, "cc0-1.0", "ko", WRITTEN)
    return ExampleSet(train, dev, None, "sample", provenance, ())


def _scenes(split: str) -> Scenes:
    """Return the sentences of a split of the sample, in file order."""
    columns = ["sentence1", "sentence2", "meaning1", "meaning2"]
    table = read_columns(open_file(SAMPLE / f"{split}.csv"), columns, "restore the file").to_pydict()
    scenes: Scenes = {}
    for *sentences, meaning1, meaning2 in zip(*(table[name] for name in columns), strict=True):
        for sentence, meaning in zip(sentences, (meaning1, meaning2), strict=True):
            scene = scenes.setdefault(meaning.rpartition(".")[0], {})
            if sentence not in scene.setdefault(meaning, []):
                scene[meaning].append(sentence)
    return scenes


def _triplets(scenes: Scenes, rng: np.random.Generator) -> Dataset:
    """Return a triplet for each query and each candidate of its meaning; chance decides between them."""
    rows: list[tuple[str, str, str]] = []
    for scene in scenes.values():
        shuffled = {meaning: rng.permutation(sentences).tolist() for meaning, sentences in scene.items()}
        for meaning, sentences in shuffled.items():
            wrong = [text for other, texts in shuffled.items() if other != meaning for text in texts[QUERIES:]]
            pairs = product(sentences[:QUERIES], sentences[QUERIES:])
            rows += [(query, right, wrong[rng.integers(len(wrong))]) for query, right in pairs]
    return to_dataset(pa.table(list(zip(*rows, strict=True)), names=list(SHAPES["triplets"].columns)))
