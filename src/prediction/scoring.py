"""Scores of sentence pairs: the cosine of their embeddings."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from sentence_transformers.util import pairwise_cos_sim

from src.data.columns import Columns
from src.errors import UserError
from src.prediction.embedding import Embedder
from src.prediction.tables import Choose, Piece

NAMES = ("score", "predicted")
"""Names of the new column; the first that the input does not have serves."""


def pair_columns(sentence1: str, sentence2: str) -> Choose:
    """Return what finds the two columns in a file of pairs."""

    def choose(where: str, names: Sequence[str]) -> Sequence[str]:
        rename = "rename the columns or set sentence1=COLUMN and sentence2=COLUMN"
        Columns(sentence1, sentence2, score=sentence1, rename=rename).require(names, where)
        if set(NAMES) <= set(names):
            raise UserError(f"{where}: expected a free column name out of {list(NAMES)}, found both: rename one.")
        return sentence1, sentence2

    return choose


def scored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with the new column at its end."""
    return schema.append(pa.field(next(name for name in NAMES if name not in schema.names), pa.float64()))


def scored(pieces: Iterable[Piece], embed: Embedder) -> Iterator[pa.Table]:
    """Yield each piece with the new column: the cosine similarity of its two sentences, -1 to 1."""
    for piece in pieces:
        first, second = piece.texts
        embeddings = embed([*first, *second]).chunk(2)
        scores = pairwise_cos_sim(*embeddings).double().numpy()
        yield pa.table([*piece.table.columns, scores], schema=scored_schema(piece.table.schema))
