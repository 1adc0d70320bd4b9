"""What the store holds of former runs, brought back."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from src.errors import UserError, in_short
from src.tracking.outage import be_patient
from src.tracking.store import find_run


def download_model(address: str, uri: str, folder: Path) -> Path:
    """Copy the model at a registry address such as models:/review_sts/3 into `folder`; return its encoder's folder.

    Raises `UserError` where the store `uri` cannot be read, or holds no such model, or none of sentence-transformers.
    """
    expected = f"model={address}: expected a registered model in {uri.split('@')[-1]}"
    advice = "give models:/NAME/VERSION as `make ui` shows it under Models, or set tracking.uri"
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise UserError(f"{expected}, found no such file (from {Path.cwd()}): train first, or set tracking.uri.")
    be_patient()
    mlflow.set_tracking_uri(uri)  # `download_artifacts` resolves models:/ there, whatever it is given itself
    try:
        copy = Path(mlflow.artifacts.download_artifacts(address, dst_path=str(folder)))
        data = Model.load(copy).flavors["sentence_transformers"]
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise UserError(f"{expected}, found: {in_short(error)}: {advice}.") from error
    except KeyError as error:
        raise UserError(f"{expected} of sentence-transformers, found another kind: {advice}.") from error
    return copy / str(data.get("data", "model.sentence_transformer"))


def download_result(reference: str, uri: str, folder: Path, files: Iterable[str]) -> Path:
    """Copy those artifacts of a run into `folder` and return it; what the run lacks is left out.

    `reference` is a run id, a run name, an experiment (its latest finished run) or a models:/ address.
    Raises `UserError` where the store `uri` cannot be read or holds nothing of that name.
    """
    expected = f"{reference}: expected an experiment folder, or a run, an experiment or a models:/ address in"
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise UserError(f"{expected} {uri}, found neither folder nor store: check the name and --uri.")
    be_patient()
    client = MlflowClient(uri)
    try:
        run_id = find_run(client, reference)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        store, found = uri.split("@")[-1], in_short(error)
        raise UserError(f"{expected} {store}, found: {found}: check the name and --uri.") from error
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        with suppress(MlflowException, OSError):
            client.download_artifacts(run_id, name, str(folder))
    return folder


def recorded_identity(reference: str, uri: str) -> dict[str, str]:
    """Return what a run recorded of its origin: the digests of its pairs as training and evaluation, and its tags."""
    client = MlflowClient(uri)
    run = client.get_run(find_run(client, reference))
    digests = {given.tags[0].value: given.dataset.digest for given in run.inputs.dataset_inputs}
    return {**run.data.tags, **digests}
