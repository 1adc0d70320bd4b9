"""Promotion of a finished training's model to champion, with `tracking.champion=auto`."""

import logging
import shlex
from pathlib import Path

from src.comparison.champion import promote
from src.config import Config
from src.config.tracking import redact_message
from src.evaluation.result import Result
from src.utils.console import relative_to_cwd
from src.utils.errors import UserError, shorten
from src.utils.processes import is_main_process

log = logging.getLogger(__name__)


def promote_trained(config: Config, result: Result, behind: str | None) -> dict[str, str]:
    """Promote the model if it has earned it; return the row of the summary that says so, empty if it is not wanted.

    The training has succeeded, whatever happens here. `behind`: message about operations not yet sent to the tracking
    store, which the comparison with the next model will need.
    """
    if config.tracking.champion == "off" or not is_main_process():
        return {}
    again = f"run python -m src.promote {shlex.quote(str(relative_to_cwd(Path(config.folder))))}"
    if behind or result.model_version is None:
        return {"champion": f"not compared, since tracking is behind: once it is sent, {again}"}
    uri = config.tracking.uri
    try:
        return {"champion": promote(config.folder, uri).sentence}
    except UserError as error:
        return {"champion": f"not compared, {shorten(error, 500)}; {again}"}
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        log.warning("the model has not been compared with the champion", exc_info=True)
        return {"champion": f"not compared, {shorten(redact_message(found, uri))}; {again}"}
