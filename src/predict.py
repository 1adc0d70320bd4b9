"""Ask a trained model: python -m src.predict model=experiments/review_sts pairs=pairs.csv output=scored.csv."""

import time
from dataclasses import dataclass
from itertools import islice

from src.config.predict import PredictConfig
from src.entry import entry
from src.prediction.embedding import Embedder
from src.prediction.model import load_model
from src.prediction.ranking import SCHEMA, check_top_k, embed_candidates, ranked, text_column
from src.prediction.scoring import pair_columns, scored, scored_schema
from src.prediction.tables import Choose, check_output, open_source, write_pieces
from src.prediction.view import SHOWN, bars, print_pairs, print_ranking, print_written, tracked
from src.report.console import console
from src.training.precision import choose_precision, use_threads


@dataclass(frozen=True)
class Outcome:
    """What a prediction took."""

    rows: int
    """Pairs scored or queries answered."""
    encoded: int
    """Sentences that went through the encoder; the others were known from before."""
    seconds: float
    """Wall time with the model loaded."""


def run(config: PredictConfig) -> Outcome:
    """Score all pairs, or rank candidates for all queries, into `config.output`; without it print the first."""
    inputs = [name for name in (config.pairs, config.queries, config.candidates) if name]
    output = check_output(config.output, inputs) if config.output else None
    columns = _columns(config)
    with console.status("Checking the input"):
        asked, *others = [open_source(name, choose) for name, choose in zip(inputs, columns, strict=True)]
    for candidates in others:
        check_top_k(config.top_k, candidates.rows)
    use_threads(config.threads)
    encoder = load_model(config.model, config.tracking.uri)
    embed = Embedder(encoder, config.batch_size, choose_precision(config.precision), config.cache_mb)
    start = time.perf_counter()
    with bars() as progress:
        known = [embed_candidates(tracked(progress, "Candidates", candidates), embed) for candidates in others]
        pieces = tracked(progress, "Answers", asked) if output else islice(asked.pieces(SHOWN), 1)
        answers = ranked(pieces, *known[0], embed, config.top_k) if known else scored(pieces, embed)
        if output:
            write_pieces(output, SCHEMA if known else scored_schema(asked.schema), answers)
        first = None if output else next(answers)
    outcome = Outcome(asked.rows if output else min(SHOWN, asked.rows), embed.encoded, time.perf_counter() - start)
    if first is None:
        print_written(str(output), outcome.rows, outcome.encoded, outcome.seconds)
    elif known:
        print_ranking(first, config.top_k, asked.rows)
    else:
        print_pairs(first, asked.rows)
    return outcome


def _columns(config: PredictConfig) -> list[Choose]:
    """Return for each input file what finds its text columns."""
    if config.pairs:
        return [pair_columns(config.sentence1, config.sentence2)]
    candidates = config.candidate_column or config.column
    return [text_column("column", config.column), text_column("candidate_column", candidates)]


if __name__ == "__main__":
    entry(run, "predict")()
