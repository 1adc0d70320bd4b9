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

DEV_QUERIES = 2
"""Sentences of a meaning that are queries in dev; the other four are candidates."""
WRITTEN = (
    "Sentences written for this project, so that retrieval can be trained without a network; no benchmark: scores on"
    " them cannot be compared with published ones."
)

Scenes = dict[str, dict[str, list[str]]]
"""Sentences by scene and meaning: six for each meaning."""


def load_review_search(data: ReviewSearch) -> ExampleSet:
    """Return triplets of a sentence, another of the same meaning, and one of another meaning of the same scene.

    Whole scenes are in train or in dev. A sentence of dev is either a query or a candidate.
    """
    rng = np.random.default_rng(data.seed)
    train, dev = (_triplets(_scenes(split), is_dev=split == "dev", rng=rng) for split in ("train", "dev"))
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


def _triplets(scenes: Scenes, is_dev: bool, rng: np.random.Generator) -> Dataset:
    """Return triplets: in train each sentence with the next one of its meaning, in dev each query with all candidates.

    The sentences of a meaning are shuffled before.
    """
    rows: list[tuple[str, str, str]] = []
    for scene in scenes.values():
        shuffled = {meaning: rng.permutation(sentences).tolist() for meaning, sentences in scene.items()}
        for meaning, sentences in shuffled.items():
            queries, candidates = sentences[:DEV_QUERIES], sentences[DEV_QUERIES:]
            pairs = (
                product(queries, candidates) if is_dev else zip(sentences, np.roll(sentences, -1).tolist(), strict=True)
            )
            first = DEV_QUERIES if is_dev else 0
            others = [text for other, texts in shuffled.items() if other != meaning for text in texts[first:]]
            rows += [(anchor, positive, others[rng.integers(len(others))]) for anchor, positive in pairs]
    return to_dataset(pa.table(list(zip(*rows, strict=True)), names=list(SHAPES["triplets"].columns)))
