"""Upload of a model folder and its card to the Hugging Face Hub, in one commit.

Only the files of the checked model are sent. The token is read by huggingface_hub and appears in no message.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from src.config.commands import PushConfig
from src.config.tracking import redact
from src.prediction.encoder import check_address, model_folder
from src.utils.environment import hub_reachable
from src.utils.errors import UserError, shorten

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi

CARD = "README.md"
FILES = (
    "config*.json", "*_config.json", "modules.json", "tokenizer.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "*.model", "model*.safetensors", "model*.safetensors.index.json",
)  # fmt: skip
"""Names of the files of a module that the libraries write, apart from pickles and code."""
PLACEHOLDERS = (
    ("model.path=FOLDER_OF_THIS_MODEL", "model.name={}"),
    ("FOLDER_OF_THIS_MODEL", "{}"),
    ("sentence_transformers_model_id", "{}"),
)
"""Texts of src/report/model_card_template.md and of the library's usage example, and what stands for the repository."""
ADVICE = {
    401: "a token that is not valid: log in with `hf auth login`, or set HF_TOKEN",
    403: "a token without write permission there: make one with it at https://huggingface.co/settings/tokens and log in"
    " with `hf auth login`, or set HF_TOKEN",
}
"""What the status codes of a refused upload mean and what to do."""

log = logging.getLogger(__name__)


def push_model(config: PushConfig) -> str:
    """Upload a model with its card, log the address, and return it.

    Raises `UserError` if the model is incomplete or unsafe, no token is found, the Hub cannot be reached or refuses,
    or the repository is public although `private` is set.
    """
    _check_repo(config.repo)
    check_address(config.model)
    api = _connect()
    is_new = _is_new(api, config)
    with model_folder(config.model, config.tracking.uri) as folder:
        from src.encoder.folder import check_folder  # imports torch, which takes seconds

        check_folder(folder)
        files = model_files(folder)
        with _one_sentence(config):
            if is_new:
                api.create_repo(config.repo, private=config.private)
            found = _commit(api, files, config)
    address = redact(f"{api.endpoint}/{config.repo}")
    log.info(f"{address}, commit {found.oid}")
    return address


def _check_repo(repo: str) -> None:
    """Raise `UserError` unless the repository's name is valid."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"repo={repo}: expected a valid OWNER/NAME, found: {shorten(error)}.") from error


def _connect() -> "HfApi":
    """Return a client with the user's token, once the Hub answers."""
    from huggingface_hub import HfApi, constants, get_token

    api = HfApi()
    if constants.HF_HUB_OFFLINE:
        raise UserError("expected access to the Hub, found HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE set: unset it.")
    if get_token() is None:
        raise UserError("expected a login on the Hub, found none: run `hf auth login`, or set HF_TOKEN.")
    if not hub_reachable():
        raise UserError(
            f"expected {redact(api.endpoint)} to answer, found it unreachable: connect to the network, or set"
            " HF_ENDPOINT or the proxy variables."
        )
    return api


def _is_new(api: "HfApi", config: PushConfig) -> bool:
    """Return whether the repository has to be made; raise `UserError` if it is public although `private` is set."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        with _one_sentence(config, RepositoryNotFoundError):
            found = api.model_info(config.repo)
    except RepositoryNotFoundError:
        return True
    if config.private and not found.private:
        raise UserError(
            f"repo={config.repo}: expected a private repository, found a public one: give private=false to publish the"
            " model there, or another repo."
        )
    return False


def model_files(folder: Path) -> dict[str, Path]:
    """Return the files of a checked model by their relative names; raise `UserError` if it has no card or has links."""
    from src.encoder.folder import modules_of

    if not (folder / CARD).is_file():
        raise UserError(
            f"{folder}: expected the model card {CARD}, found none: a training writes one; write one for another model."
        )
    folders = dict.fromkeys([folder, *(module.path for module in modules_of(folder))])
    # a module without settings may have no folder, as git keeps no empty ones
    paths = [path for each in folders for path in sorted(each.glob("*")) if path.is_file()]
    chosen = [folder / CARD, *(path for path in paths if any(fnmatch(path.name, pattern) for pattern in FILES))]
    for path in chosen:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{path}: expected a file of the model itself, found a link: copy the folder with cp -rL.")
    return {path.relative_to(folder).as_posix(): path for path in chosen}


def _commit(api: "HfApi", files: dict[str, Path], config: PushConfig) -> "CommitInfo":
    """Make the branch if there is none, and commit the files, the card with the repository's name."""
    from huggingface_hub import CommitOperationAdd

    if config.revision:
        api.create_branch(config.repo, branch=config.revision, exist_ok=True)
    card = publish_card(files[CARD].read_text("utf-8"), config.repo).encode()
    additions = [
        CommitOperationAdd(name, card if name == CARD else str(path.resolve())) for name, path in files.items()
    ]
    log.info(f"Uploading {', '.join(files)}")
    return api.create_commit(config.repo, additions, commit_message=config.message, revision=config.revision)


def publish_card(card: str, repo: str) -> str:
    """Return the card with the repository's name in its usage examples."""
    for text, name in PLACEHOLDERS:
        card = card.replace(text, name.format(repo))
    return card


@contextmanager
def _one_sentence(config: PushConfig, *passed: type[Exception]) -> Iterator[None]:
    """Raise an error of a request, other than those `passed`, as `UserError` without the token."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except passed:
        raise
    except Exception as error:  # those of httpx, of huggingface_hub and of hf_xet have no common base
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
        found = ADVICE.get(status) or f"{shorten(error)}: see whether the repository is as expected, and try again"
        if token := get_token():
            found = found.replace(token, "***")
        raise UserError(f"repo={config.repo}: expected the Hub to accept the upload, found {found}.") from error
