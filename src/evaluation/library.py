"""The evaluators of sentence-transformers for each shape of examples, with the names of our metrics and our prompts."""

from collections.abc import Callable
from typing import Any

import pandas as pd
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.evaluation import BaseEvaluator, SequentialEvaluator
from sentence_transformers.sentence_transformer.evaluation import (
    BinaryClassificationEvaluator,
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
    TripletEvaluator,
)
from sentence_transformers.util import cos_sim

from src.data.shapes import shape_of, text_columns
from src.encoder.prompts import prompt_for
from src.evaluation.metrics import CUTOFF, TRIPLET, leading_metric
from src.evaluation.retrieval import CELLS

COLUMN_OF = {"query": "anchor", "document": "positive", None: "sentence1"}
"""Column whose prompt precedes what an evaluator encodes as a query, as a document, or as neither."""


def library_evaluator(examples: Dataset, name: str, batch_size: int = 16) -> BaseEvaluator:
    """Return the library's evaluator of a split; its metrics are named as in `metrics_of`, after `name` and `_`.

    For triplets a sequence of two. It gives the texts of a pair the prompt of its first column.
    """
    shape, options = shape_of(examples).name, {"name": name, "batch_size": batch_size, "write_csv": False}
    evaluators = [_named(evaluator, name, shape) for evaluator in EVALUATORS[shape](examples, options)]
    return evaluators[0] if len(evaluators) == 1 else SequentialEvaluator(evaluators)


def _similarity(examples: Dataset, options: dict[str, Any]) -> list[Any]:
    columns = (list(examples[column]) for column in examples.column_names)
    return [EmbeddingSimilarityEvaluator(*columns, main_similarity="cosine", **options)]


def _classification(examples: Dataset, options: dict[str, Any]) -> list[Any]:
    columns = (list(examples[column]) for column in examples.column_names)
    return [BinaryClassificationEvaluator(*columns, similarity_fn_names=["cosine"], **options)]


def _retrieval(examples: Dataset, options: dict[str, Any]) -> list[Any]:
    """Return the evaluator with ids that order candidates of equal similarity as they appear."""
    table = examples.to_pandas()
    queries = pd.unique(table["anchor"])
    documents = pd.unique(pd.concat([table[column] for column in table.columns if column != "anchor"]))
    ids = {text: f"{number:010d}" for number, text in enumerate(documents)}
    right = {anchor: {ids[text] for text in texts} for anchor, texts in table.groupby("anchor")["positive"]}
    cutoffs = {f"{kind}_at_k": [CUTOFF] for kind in ("mrr", "ndcg", "precision_recall", "map")}
    return [
        InformationRetrievalEvaluator(
            dict(zip(queries, queries, strict=True)),
            {id_: text for text, id_ in ids.items()},
            right,
            corpus_chunk_size=max(1, CELLS // len(queries)),
            accuracy_at_k=[1],
            score_functions={"cosine": cos_sim},
            main_score_function="cosine",
            **cutoffs,
            **options,
        )
    ]


def _triplets(examples: Dataset, options: dict[str, Any]) -> list[Any]:
    """Return both evaluators; each negative of a row is a triplet."""
    table = examples.to_pandas()
    negatives = [name for name in text_columns(table.columns) if name not in ("anchor", "positive")]
    triplets = [
        [text for name in names for text in table[name]]
        for names in (["anchor"] * len(negatives), ["positive"] * len(negatives), negatives)
    ]
    return [*_retrieval(examples, options), TripletEvaluator(*triplets, similarity_fn_names=["cosine"], **options)]


EVALUATORS: dict[str, Callable[[Dataset, dict[str, Any]], list[Any]]] = {
    "scored": _similarity,
    "labelled": _classification,
    "positives": _retrieval,
    "triplets": _triplets,
}


def _named(evaluator: Any, name: str, shape: str) -> BaseEvaluator:
    """Return the evaluator with our names of metrics and our prompts.

    It stays an instance of the library's class, which the model card names and links to.
    """
    embed, prefix = evaluator.embed_inputs, evaluator.prefix_name_to_metrics
    leading = TRIPLET if isinstance(evaluator, TripletEvaluator) else leading_metric(shape)
    primary = f"{name}_{leading.name}"

    def embed_inputs(model: SentenceTransformer, texts: Any, encode_fn_name: str | None = None, **_: Any) -> Any:
        given = {"encode_fn_name": encode_fn_name} if encode_fn_name else {}
        return embed(model, texts, prompt=prompt_for(model, COLUMN_OF[encode_fn_name]), **given)

    def prefix_name_to_metrics(metrics: dict[str, float], name: str) -> dict[str, float]:
        named = {key.replace("@", "_at_"): value for key, value in prefix(metrics, name).items()}
        evaluator.primary_metric = primary
        return named

    vars(evaluator).update(
        embed_inputs=embed_inputs, prefix_name_to_metrics=prefix_name_to_metrics, primary_metric=primary
    )
    typed: BaseEvaluator = evaluator
    return typed
