"""Finished runs and recipes for a comparison, read from folders or from copies of the MLflow store's files."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from string import ascii_uppercase

import numpy as np
import pandas as pd

from src.config.files import read_settings
from src.config.schema import LOCATIONS, settings_without
from src.config.tracking import is_missing, redact
from src.evaluation.metrics import Metric, as_labels, metrics_of
from src.evaluation.names import rows_of
from src.evaluation.result import RUN_FILES, Result, missing_file, read_curve
from src.evaluation.seeds import SeedScores, seed_scores
from src.evaluation.statistics import Floats
from src.utils.errors import UserError, shorten

PAIR = ["sentence1", "sentence2", "gold"]
QUERY = ["anchor", "positives"]
IDENTITY = {"scored": PAIR, "labelled": PAIR, "positives": QUERY, "triplets": [*QUERY, "triplets"]}
"""Columns of predictions.parquet that identify an evaluation pair, or a query with its numbers of right answers and of
triplets, by shape."""
EXPERIMENTS = Path("experiments")
RECIPE_PREFIX = "recipe:"
"""Start of a reference to all seeds of a recipe."""
SEED = 42
"""Seed of bootstrap and permutations, so that a comparison can be repeated."""


@dataclass(frozen=True)
class ComparedRun:
    """One run, or the runs of one recipe with several seeds, with the results."""

    letter: str
    """Short name in tables and verdicts: A, B, C, …"""
    reference: str
    """The run as named on the command line, or the recipe with its words."""
    results: list[Result]
    """One for each seed, as in `curves` and `tables`."""
    parameters: dict[str, str]
    """Its configuration under dotted names, without `LOCATIONS`; values that differ between seeds are listed."""
    curves: list[pd.DataFrame]
    tables: list[pd.DataFrame]
    """Columns of `IDENTITY`, sorted by them, and those that the metrics need."""

    @property
    def result(self) -> Result:
        """The result of the first seed, which describes data and encoder of all."""
        return self.results[0]

    @property
    def run_ids(self) -> list[str]:
        """The ids of the runs in the store."""
        return [result.run_id for result in self.results]

    @property
    def metric(self) -> Metric:
        """The leading metric."""
        return self.result.metric

    @property
    def rows(self) -> pd.DataFrame:
        """The evaluated pairs or queries, columns of `IDENTITY`."""
        return self.tables[0][IDENTITY[self.result.shape]]

    @property
    def unit(self) -> str:
        """What the rows are: pairs or queries."""
        return rows_of(self.metric)

    def values(self, metric: Metric) -> tuple[Floats, Floats]:
        """Return the gold values of a metric, shape (rows,), and the predicted ones, shape (seeds, rows)."""
        gold, predicted = zip(*map(metric.values, self.tables), strict=True)
        return gold[0], np.stack(predicted)

    @cached_property
    def scores(self) -> Callable[[Metric], SeedScores]:
        """A metric of all seeds, on the same resampled pairs or queries for all runs; computed once."""
        return cache(lambda metric: seed_scores(metric, self.tables, SEED))


def read_runs(references: list[str], uri: str, scratch: Path) -> list[ComparedRun]:
    """Return runs and recipes in the order given; runs that are only in the store `uri` are copied into `scratch`.

    Raises `UserError` if one cannot be found or read, or two were not evaluated on the same pairs or queries.
    """
    runs = [
        _read(letter, reference, uri, scratch / letter)
        for letter, reference in zip(ascii_uppercase, references, strict=False)
    ]
    for other in runs[1:]:
        check_comparable(runs[0], other)
    return runs


def _read(letter: str, reference: str, uri: str, scratch: Path) -> ComparedRun:
    """Return a run, or the runs of a recipe, each of which is copied into a folder of its own."""
    if not reference.startswith(RECIPE_PREFIX):
        return read_run(letter, reference, find_folder(reference, uri, scratch))
    from src.tracking import find_recipe  # imports MLflow, which takes seconds: only for a recipe

    recipe, run_ids = find_recipe(reference.removeprefix(RECIPE_PREFIX), uri)
    folders = {run_id: find_folder(run_id, uri, scratch / run_id) for run_id in run_ids}
    runs = [read_run(letter, f"{reference}, run {run_id}", folder) for run_id, folder in folders.items()]
    return _join(f"{RECIPE_PREFIX}{recipe}", runs)


def _join(reference: str, seeds: list[ComparedRun]) -> ComparedRun:
    """Return runs with one seed each as one; raise `UserError` if what they were evaluated on differs."""
    for other in seeds[1:]:
        check_comparable(seeds[0], other)
    names = dict.fromkeys(name for seed in seeds for name in seed.parameters)
    values = {name: dict.fromkeys(seed.parameters.get(name, "–") for seed in seeds) for name in names}
    return replace(
        seeds[0],
        reference=reference,
        results=[result for seed in seeds for result in seed.results],
        parameters={name: ", ".join(different) for name, different in values.items()},
        curves=[curve for seed in seeds for curve in seed.curves],
        tables=[table for seed in seeds for table in seed.tables],
    )


def find_folder(reference: str, uri: str, scratch: Path) -> Path:
    """Return the folder of a run: the one named, one below experiments/, or a copy from the store in `scratch`."""
    for folder in (Path(reference), EXPERIMENTS / reference):
        # Path.is_dir raises for a name that is too long for a file
        if os.path.isdir(folder) and not reference.startswith("models:"):  # noqa: PTH112
            return folder
    if is_missing(uri):
        raise UserError(
            f"{reference}: expected an experiment folder, or a run, an experiment or a models:/ address in"
            f" {redact(uri)}, found neither folder nor store: check the name and --uri."
        )
    from src.tracking import download_result  # imports MLflow, which takes seconds: only for a run of the store

    return download_result(reference, uri, scratch, RUN_FILES)


def read_run(letter: str, reference: str, folder: Path) -> ComparedRun:
    """Return the run in `folder`; raise `UserError` naming the file that is missing or damaged."""
    if missing := missing_file(folder):
        raise UserError(f"{reference}: expected a finished run, found no {missing} in {folder}: train it first.")
    result = Result.load(folder)
    try:
        parameters = settings_without(read_settings(folder / "config.yaml"), LOCATIONS)
        identity, metrics = IDENTITY[result.shape], metrics_of(result.shape)
        columns = dict.fromkeys([*identity, *(name for each in metrics for name in (each.gold, each.predicted))])
        table = pd.read_parquet(folder / "predictions.parquet")[[*columns]]
        if "gold" in identity:
            # rounded as for the metrics; earlier versions stored the scores in that precision
            table["gold"] = as_labels(table["gold"].to_numpy())
        table = table.sort_values(identity, kind="stable", ignore_index=True)
        return ComparedRun(letter, reference, [result], parameters, [read_curve(folder, result.metric.name)], [table])
    except (ValueError, KeyError, OSError) as error:
        raise UserError(
            f"{reference}: expected a complete result in {folder}, found {shorten(error)}: train it again."
        ) from error


def check_comparable(first: ComparedRun, other: ComparedRun) -> None:
    """Raise `UserError` unless both were evaluated on the same pairs with the same gold scores, or the same queries.

    Queries need the same candidates too, which an earlier version did not record. The order does not matter.
    """
    if first.result.shape != other.result.shape:
        found = " and ".join(f"{run.reference} on {run.result.shape} ({run.metric.label})" for run in (first, other))
        raise UserError(
            f"expected runs evaluated on examples of one shape, found {found}: compare runs with the same metric."
        )
    results = (first.result, other.result)
    digests = {result.evaluated_digest for result in results if not result.metric.of_similarities}
    same_candidates = len({result.evaluated_pairs for result in results}) == 1 and (len(digests) < 2 or "" in digests)
    if first.rows.equals(other.rows) and same_candidates:
        return
    shared = len(first.rows.merge(other.rows).drop_duplicates())
    raise UserError(
        f"expected runs evaluated on the same {first.unit}, found {_evaluated(first)} and"
        f" {_evaluated(other)}, {shared:,} of them in common: compare runs on the same data, or train one again on the"
        " data of the other."
    )


def _evaluated(run: ComparedRun) -> str:
    result = run.result
    return f"{run.reference} on {len(run.rows):,} ({result.data_source}, {result.evaluated_on})"
