"""Champion of a registered model: the version behind the alias `champion`, and why it has become so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from mlflow.tracking import MlflowClient

from src.config.tracking import redact, redact_message
from src.tracking.provenance import user_name
from src.tracking.registry_lock import registry_lock
from src.tracking.store import STORE_ERRORS, connect, find_run_id, limit_requests_outside_training, store_error
from src.utils.errors import UserError
from src.utils.text import escape_markdown

ALIAS = "champion"
SINCE, REASON, UNTIL = (f"{ALIAS}.{name}" for name in ("since", "reason", "until"))
"""Tags of a version that has become champion: when, why, and of a former one until when. Few, as lists show them."""
CHAMPION, FORMER = "**Champion since", "**Champion until"
"""Beginnings of the paragraphs that are written here in the description of a version, which its page shows."""


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model in a store; its methods raise `UserError` if the store cannot be used."""

    client: MlflowClient
    uri: str
    name: str

    def version_of(self, run: str) -> str:
        """Return the latest version with the model of a run, given by its id or journal key.

        Raises `UserError` if there is none.
        """
        with _store_errors(self.uri):
            run_id = find_run_id(self.client, run)
            found = self.client.search_model_versions(f"run_id = '{run_id}'") if run_id else []
        versions = [int(each.version) for each in found if each.name == self.name]
        if not versions:
            raise UserError(
                f"{self.name}: expected a registered model of the run {run} in {redact(self.uri)}, found none: train"
                " with tracking.register=true, or send what a training has left in its folder with python -m src.sync."
            )
        return str(max(versions))

    def champion(self) -> str | None:
        """Return the version of the champion, None if the model has none."""
        with _store_errors(self.uri):
            found = self.client.get_registered_model(self.name).aliases.get(ALIAS)
        return None if found is None else str(found)

    def promote(self, version: str, former: str | None, reason: str) -> bool:
        """Make a version champion and record why, unless the champion is no longer `former`; return whether it is."""
        reason = redact_message(reason, self.uri)
        with _store_errors(self.uri), registry_lock(self.client, self.name):
            if self.champion() != former:
                return False
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            line = f"{CHAMPION} {now}**, promoted by {escape_markdown(user_name())}: {escape_markdown(reason)}."
            self._record(version, line, (CHAMPION, FORMER), {SINCE: now, REASON: reason})
            self.client.delete_model_version_tag(self.name, version, UNTIL)
            self.client.set_registered_model_alias(self.name, ALIAS, version)
            if former:
                line = f"{FORMER} {now}**, replaced by version {version}: {escape_markdown(reason)}."
                self._record(former, line, (FORMER,), {UNTIL: now})
        return True

    def _record(self, version: str, paragraph: str, replaced: tuple[str, ...], tags: dict[str, str]) -> None:
        """Set tags of a version and append a paragraph to its description, without those that begin like `replaced`."""
        found = self.client.get_model_version(self.name, version).description or ""
        kept = [each for each in found.split("\n\n") if not each.startswith(replaced)]
        self.client.update_model_version(self.name, version, "\n\n".join([*kept, paragraph]).lstrip("\n"))
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, version, key, value)


def registered_model(name: str, uri: str) -> RegisteredModel:
    """Return the registered model `name` of the store at `uri`."""
    limit_requests_outside_training()
    with _store_errors(uri):
        return RegisteredModel(connect(uri), uri, name)


@contextmanager
def _store_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except STORE_ERRORS as error:
        raise store_error(error, uri) from error
