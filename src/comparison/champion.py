"""Promotion of a run's registered model to champion, if a comparison shows a gain over the present champion."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from src.comparison.differences import differences
from src.comparison.runs import ComparedRun, check_comparable, find_folder, read_run
from src.config.tracking import is_missing, redact
from src.utils.errors import UserError, shorten

LONGEST_REASON = 500
"""Characters of a reason that are recorded."""


@dataclass(frozen=True)
class Promotion:
    """Outcome of a promotion."""

    champion: bool
    """Whether the run's model is the champion now."""
    sentence: str
    """Why it is or is not."""


def promote(reference: str, uri: str, force: str | None = None) -> Promotion:
    """Make the model of a run the champion, `models:/NAME@champion` with its experiment as NAME, if it has earned it.

    It has if there is no champion yet, or if it scores significantly higher than the champion on the same examples. If
    another process promotes a model at the same time, this one is then compared with that. `force`: reason to promote
    it without a comparison, which is recorded.

    Raises `UserError` if the run has no registered model, or it cannot be compared with the champion.
    """
    reason = None if force is None else shorten(force, LONGEST_REASON)
    if reason == "":
        raise UserError("--force: expected the reason, found an empty one: say in a few words why, it is recorded.")
    if is_missing(uri):
        raise UserError(f"{redact(uri)}: expected an MLflow store, found no such file: train first, or set --uri.")
    from src.tracking import registered_model  # imports MLflow, which takes seconds: after the checks

    with TemporaryDirectory() as scratch:
        run = read_run("B", reference, find_folder(reference, uri, Path(scratch) / "run"))
        model = registered_model(str(run.result.experiment), uri)
        version = model.version_of(str(run.result.run_id))
        while (champion := model.champion()) != version:
            earned, found = True, f"the first champion of {model.name}"
            if reason is not None:
                found = f"forced over {f'version {champion}' if champion else 'none'}, {reason}"
            elif champion:
                earned, found = judge(read_champion(model.name, champion, uri, Path(scratch) / champion), run, champion)
            if not earned:
                return Promotion(False, f"version {version} stays a candidate: {found}")
            if model.promote(version, champion, found):
                return Promotion(True, f"version {version} is champion: {found}")
        return Promotion(True, f"version {version} is champion already")


def read_champion(name: str, version: str, uri: str, scratch: Path) -> ComparedRun:
    """Return the run of the present champion from the store; raise `UserError` if its files are missing or damaged."""
    address = f"models:/{name}/{version}"
    try:
        return read_run("A", address, find_folder(address, uri, scratch))
    except UserError as error:
        raise UserError(
            f"{address}: expected the result of the present champion, found: {shorten(error)}: restore it, or promote"
            ' without a comparison by --force "REASON".'
        ) from error


def judge(champion: ComparedRun, run: ComparedRun, version: str) -> tuple[bool, str]:
    """Return whether a run scores significantly higher than the champion, of this version, and the finding in words.

    Raises `UserError` if they were evaluated on something else.
    """
    check_comparable(champion, run)
    (found,) = differences([champion, run])
    evidence = f"version {version} on {found.rows:,} {run.result.evaluated_on} {run.unit}, p {found.p_value:.2g}"
    gain = f"{run.metric.label} {found.estimate.value:+.4f} {found.estimate.interval}"
    if not found.significant:
        return False, f"no significant difference, {gain} against {evidence}"
    if found.estimate.value < 0:
        return False, f"{gain} against {evidence}"
    return True, f"{gain} over {evidence}"
