"""Tasks of MTEB (Muennighoff et al., 2023), the field's own harness: the optional extra `mteb`."""

import os
from tempfile import TemporaryDirectory
from typing import Any

from sentence_transformers import SentenceTransformer

from src.utils.environment import hub_reachable
from src.utils.errors import UserError, shorten

CACHE = "MTEB_CACHE"
"""Environment variable with MTEB's folder."""


def find_tasks(names: list[str]) -> list[Any]:
    """Return the tasks with these names.

    Raises `UserError` if the extra is not installed, there is no such task, or the Hub cannot be reached.
    """
    try:
        mteb = _library()
    except ImportError as error:
        raise UserError(
            f"mteb={names}: expected the package mteb, found {shorten(error)}: pip install --constraint constraints.txt"
            ' --editable ".[mteb]".'
        ) from error
    try:
        tasks = [mteb.get_task(name) for name in names]
    except (KeyError, ValueError) as error:
        raise UserError(
            f"mteb={names}: expected names of tasks of MTEB, found {shorten(error)}: correct it."
        ) from error
    if not hub_reachable():
        raise UserError(
            f"mteb={names}: expected the Hugging Face Hub, which has the data of the tasks, found it unreachable: go"
            " online, or leave mteb out."
        )
    return tasks


def run_tasks(encoder: SentenceTransformer, tasks: list[Any], batch_size: int) -> dict[str, dict[str, float]]:
    """Return the main score of each task on each of its splits and subsets, by task and name.

    Nothing is cached or written, and no emissions are tracked. Prompts are those that MTEB itself takes from the model.
    """
    if not tasks:  # the extra may be missing
        return {}
    mteb, found = _library(), {}
    options = {"batch_size": batch_size, "show_progress_bar": False}
    for task in tasks:
        try:
            result = mteb.evaluate(
                encoder, task, cache=None, co2_tracker=False, show_progress_bar=False, encode_kwargs=options
            )
        except (OSError, ValueError, KeyError) as error:
            name = task.metadata.name
            raise UserError(
                f"mteb=[{name}]: expected a task that runs, found {shorten(error)}: leave it out."
            ) from error
        found[task.metadata.name] = _main_scores(result.task_results[0])
    return found


def _library() -> Any:
    """Return the module mteb, whose folder of results, which it makes when it is imported, is made elsewhere."""
    former = os.environ.get(CACHE)
    with TemporaryDirectory() as folder:
        os.environ[CACHE] = folder
        try:
            import mteb

            return mteb
        finally:
            os.environ.pop(CACHE)
            os.environ.update({CACHE: former} if former else {})


def _main_scores(result: Any) -> dict[str, float]:
    """Return the main score of a task by its name, followed by split and subset if there are several."""
    rows = [(split, one) for split, scores in result.scores.items() for one in scores]
    main = result.task.metadata.main_score
    return {
        main if len(rows) == 1 else f"{main} {split} {one['hf_subset']}": float(one["main_score"])
        for split, one in rows
    }
