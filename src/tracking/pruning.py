"""Removal of logged models that are neither registered nor among the best of their experiment.

A model is first marked as deleted, so that no page shows one without files, then its files are removed. Where this was
interrupted, the files of a model that the store has given up are found in the experiment's folder.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from rich.progress import track

from src.config.tracking import redact, redact_message
from src.tracking.database import has_tables
from src.tracking.store import STORE_ERRORS, connect, limit_requests_outside_training, store_error
from src.tracking.survey import MISSING, PrunedModel, Survey, in_use, pages_of, registered
from src.tracking.views import is_ours
from src.utils.console import console
from src.utils.errors import UserError, shorten

log = logging.getLogger(__name__)


def list_models(uri: str, experiments: list[str], keep: int) -> list[PrunedModel]:
    """Return all models of the named experiments, by default of this project's, with what is to become of them.

    Kept are registered models, those of running runs and the best `keep` of each experiment and leading metric.

    Raises `UserError` if the store cannot be read or lacks an experiment.
    """
    limit_requests_outside_training()
    try:
        if not has_tables(uri):
            return []
        client = connect(uri)
        chosen = _experiments(client, experiments, uri)
        return [model for each in tracked(chosen, "Looking") for model in _models_of(client, each, keep)]
    except STORE_ERRORS as error:
        raise store_error(error, uri) from error


def remove_models(uri: str, models: list[PrunedModel]) -> list[PrunedModel]:
    """Remove the removable ones of the models; return those that are gone.

    One that has been registered, or whose run has been resumed, since it was listed is left, with a warning.

    Raises `UserError` if the store cannot be used or does not remove files.
    """
    client, removed = connect(uri), []
    to_remove = [model for model in models if model.removable]
    for model in tracked(to_remove, "Removing"):
        try:
            if reason := in_use(client.get_run(model.run_id), model.model_id, registered(client)):
                log.warning(f"{model.model_id}: {reason} by now, and left as it is")
                continue
            if not model.is_marked:
                _ignore_missing(client.delete_logged_model, model.model_id)
            model.files.remove(model.model_id)
            left = model.files.size(model.model_id)
        except STORE_ERRORS as error:
            raise _removal_error(uri, model, shorten(redact_message(str(error), uri))) from error
        if left:
            raise _removal_error(uri, model, "them left")
        removed.append(model)
    return removed


def _removal_error(uri: str, model: PrunedModel, found: str) -> UserError:
    return UserError(
        f"{redact(uri)}: expected to remove the files of {model.model_id}, found {found}: allow it (permissions, or"
        " the server's --serve-artifacts), then give the same command again, which removes what is left."
    )


def _experiments(client: MlflowClient, names: list[str], uri: str) -> list[Experiment]:
    known = {each.name: each for each in pages_of(client.search_experiments)}
    for name in names:
        if name not in known:
            raise UserError(
                f"--experiment {name}: expected an experiment in {redact(uri)}, found {', '.join(sorted(known))}:"
                " give one of these."
            )
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    return [each for each in known.values() if is_ours(each.tags)]


def _models_of(client: MlflowClient, experiment: Experiment, keep: int) -> list[PrunedModel]:
    try:
        return list(Survey(client, experiment, keep).pruned())
    except UserError as error:
        if client.search_logged_models([experiment.experiment_id], max_results=1):
            log.warning(f"{experiment.name}: {error}")
        return []


def tracked(items: Sequence[Any], title: str) -> Iterable[Any]:
    """Return the items; a progress bar on a terminal counts them."""
    return track(items, title, console=console, transient=True, disable=not console.is_terminal)


def _ignore_missing(call: Callable[[str], object], model_id: str) -> None:
    """Call with a model that another process may have deleted meanwhile."""
    try:
        call(model_id)
    except MlflowException as error:
        if error.error_code != MISSING:
            raise
