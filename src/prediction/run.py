"""Prediction from files to a file or the terminal; input files and the model's address are checked first."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from src.config import PredictConfig
from src.prediction import tables, view
from src.prediction.encoder import load_model
from src.prediction.tables import TextTable, pair_columns, text_column
from src.utils.console import console
from src.utils.errors import UserError

if TYPE_CHECKING:
    from src.prediction.scoring import Embedder


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictionSummary:
    """Size and duration of a prediction."""

    rows: int
    """Pairs scored or queries ranked."""
    encoded: int
    """Sentences encoded; the embeddings of the others came from the cache."""
    seconds: float
    """Wall time after the model was loaded."""

    def __str__(self) -> str:
        """Return size and speed in words."""
        speed = f"{self.rows:,} rows predicted in {self.seconds:.1f} s, {self.rows / self.seconds:,.0f} a second"
        return f"{speed}; {self.encoded:,} sentences encoded"


def run_prediction(config: PredictConfig) -> PredictionSummary:
    """Score all pairs, or rank candidates for all queries, into `config.output`; without it, print the first ones."""
    table, candidates, output = _check_inputs(config)
    embed = _load_embedder(config)
    start = time.perf_counter()
    first = _predict(table, candidates, output, embed, config.top_k)
    rows = table.rows if output else min(view.SHOWN, table.rows)
    summary = PredictionSummary(rows, embed.encoded, time.perf_counter() - start)
    if first is None:
        log.info(f"{output}: {summary}")
    elif candidates:
        view.print_ranking(first, config.top_k, table.rows)
    else:
        view.print_pairs(first, table.rows)
    return summary


def _check_inputs(config: PredictConfig) -> tuple[TextTable, TextTable | None, Path | None]:
    """Return the pairs or queries, the candidates for queries, and the path of the output."""
    inputs = [name for name in (config.pairs, config.queries, config.candidates) if name]
    output = tables.check_output(config.output, inputs) if config.output else None
    with console.status("Checking the input"):
        if config.pairs:
            return tables.open_table(config.pairs, pair_columns(config.sentence1, config.sentence2)), None, output
        column = config.candidate_column or config.column
        queries = tables.open_table(inputs[0], text_column("column", config.column))
        candidates = tables.open_table(inputs[1], text_column("candidate_column", column))
    if config.top_k > candidates.rows:
        raise UserError(
            f"top_k must be at most the number of candidates, {candidates.rows:,}, found {config.top_k:,}: lower it."
        )
    return queries, candidates, output


def _load_embedder(config: PredictConfig) -> "Embedder":
    encoder = load_model(config.model, config.tracking.uri)
    # these import torch, which takes seconds: a wrong model address is reported before that
    from src.prediction.scoring import Embedder
    from src.training.precision import choose_precision, use_threads

    use_threads(config.threads)
    return Embedder(encoder, config.batch_size, choose_precision(config.precision), config.cache_mb)


def _predict(
    table: TextTable, candidates: TextTable | None, output: Path | None, embed: "Embedder", top_k: int
) -> pa.Table | None:
    """Write all predictions and return None, or return the first predictions if there is no output."""
    from src.prediction.scoring import Ranker, score_pairs  # imports torch

    with view.progress_bars() as progress:
        chunks = view.tracked(progress, "Predictions", table) if output else table.chunks(view.SHOWN)
        if candidates:
            ranker = Ranker(view.tracked(progress, "Candidates", candidates), embed, top_k)
            schema, predictions = tables.RANKING_SCHEMA, ranker.rank(chunks)
        else:
            schema, predictions = tables.scored_schema(table.schema), score_pairs(chunks, embed)
        if not output:
            return next(predictions)
        tables.write_table(output, schema, predictions)
        return None
