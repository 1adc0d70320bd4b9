"""Prediction from files to a file or the terminal; input files and the model's address are checked first."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from src.config.commands import PredictConfig
from src.data.files import kind_of
from src.prediction import tables
from src.prediction.encoder import load_model
from src.prediction.tables import CHUNK_ROWS, Chunk, TextTable, pair_columns, text_column
from src.utils.console import console
from src.utils.errors import UserError

if TYPE_CHECKING:
    from src.prediction.scoring import Embedder

SHOWN = 20
"""Number of pairs or queries printed if there is no output file."""

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
    for note in (*table.notes, *(candidates.notes if candidates else ())):
        log.warning(note)
    embed = _load_embedder(config)
    start = time.perf_counter()
    first = _predict(table, candidates, output, embed, config)
    rows = table.rows if output else min(SHOWN, table.rows)
    summary = PredictionSummary(rows, embed.encoded, time.perf_counter() - start)
    if first is None:
        log.info(f"{output}: {summary}")
    elif candidates:
        print_ranking(first, config.top_k, table.rows)
    else:
        print_pairs(first, table.rows)
    for remark in embed.coverage.remarks("sentences"):
        log.warning(f"  note: {remark}")
    return summary


def _check_inputs(config: PredictConfig) -> tuple[TextTable, TextTable | None, Path | None]:
    """Return the pairs or queries, the candidates for queries, and the path of the output."""
    inputs = [name for name in (config.pairs, config.queries, config.candidates) if name]
    output = tables.check_output(config.output, inputs) if config.output else None
    with console.status("Checking the input"):
        if config.pairs:
            columns = pair_columns(config.sentence1, config.sentence2)
            return tables.open_table(config.pairs, columns, config.quoting), None, output
        column = config.candidate_column or config.column
        queries = tables.open_table(inputs[0], text_column("column", config.column), config.quoting)
        candidates = tables.open_table(inputs[1], text_column("candidate_column", column), config.quoting)
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
    table: TextTable, candidates: TextTable | None, output: Path | None, embed: "Embedder", config: PredictConfig
) -> pa.Table | None:
    """Write all predictions and return None, or return the first predictions if there is no output."""
    from src.prediction.scoring import Ranker, score_pairs  # imports torch

    with progress_bars() as progress:
        chunks = tracked(progress, "Predictions", table) if output else table.chunks(SHOWN)
        if candidates:
            ranker = Ranker(tracked(progress, "Candidates", candidates), embed, config.top_k)
            schema, predictions = tables.RANKING_SCHEMA, ranker.rank(chunks)
        else:
            schema, predictions = (
                tables.scored_schema(table.schema),
                score_pairs(chunks, embed, (config.sentence1, config.sentence2)),
            )
        if not output:
            return next(predictions)
        rows = table.rows * (config.top_k if candidates else 1)
        files = [table.file, *([candidates.file] if candidates else [])]
        # unquoted input gives unquoted output of the same kind: its values contain neither delimiters nor line breaks
        is_quoted = any(file.is_quoted or kind_of(file.path) != kind_of(output) for file in files)
        tables.write_table(output, schema, predictions, rows, is_quoted)
        return None


def progress_bars() -> Progress:
    """Return the progress display: finished rows, all rows, rows a second, time; without a terminal it is disabled."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows, {task.fields[rate]} a second,"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def tracked(progress: Progress, title: str, table: TextTable, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
    """Yield the chunks of the table; a progress bar counts each chunk when the next one is requested."""
    bar = progress.add_task(title, total=table.rows, rate="–")
    for chunk in table.chunks(rows):
        yield chunk
        progress.advance(bar, chunk.table.num_rows)
        task = progress.tasks[bar]
        progress.update(bar, rate=f"{task.completed / (task.elapsed or 1):,.0f}")


def print_pairs(rows: pa.Table, total: int) -> None:
    """Print the first of `total` scored pairs; the score is the first column, to mark the start of long rows."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    *given, score = rows.schema.names
    table.add_column(score, justify="right")
    for name in given:
        table.add_column(name, overflow="fold")
    for *values, predicted in zip(*rows.to_pydict().values(), strict=True):
        table.add_row(f"{predicted:.4f}", *(str(value) for value in values))
    console.print(table)
    _print_rest("pairs", total)


def print_ranking(rows: pa.Table, top_k: int, total: int) -> None:
    """Print the first of `total` queries, each followed by its `top_k` candidates: rank, score, text."""
    for start in range(0, rows.num_rows, top_k):
        hits = rows.slice(start, top_k)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(justify="right")
        table.add_column(justify="right")
        table.add_column(overflow="fold")
        for rank, candidate, score in zip(*hits.drop_columns("query").to_pydict().values(), strict=True):
            table.add_row(str(rank), f"{score:.4f}", candidate)
        console.print(hits["query"][0].as_py(), style="bold")
        console.print(Padding(table, (0, 0, 1, 2)))
    _print_rest("queries", total)


def _print_rest(kind: str, total: int) -> None:
    if total > SHOWN:
        console.print(f"The first {SHOWN} of {total:,} {kind}; output=FILE writes all.")
