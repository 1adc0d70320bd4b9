"""A training that is interrupted in any phase ends with exit code 130 and its run as KILLED, and can be resumed."""

import json
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.test_soak import prepare
from tests.test_triplets import write_triplets

pytestmark = pytest.mark.slow

Start = Callable[..., BaseProcess]
PHASES = {
    "start-up": ("src.tracking.store:MlflowClient.log_batch", 1),
    "training": ("src.training.trainer:ExampleTrainer.compute_loss", 5),
    "registration": ("src.tracking.writer:register_model", 1),
}


@pytest.mark.parametrize(("phase", "number"), zip(PHASES, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM), strict=True))
def test_an_interrupted_training_ends_as_killed_and_the_same_command_resumes_it(
    phase: str, number: int, start_training: Start, empty_store: Path, tmp_path: Path
) -> None:
    prepare(tmp_path, empty_store)
    first = start_training(tmp_path, signals=[(*PHASES[phase], number)])
    first.join()
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    ids = [client.get_experiment_by_name("tiny").experiment_id]
    assert first.exitcode == 130
    assert [run.info.status for run in client.search_runs(ids)] == ["KILLED"]
    second = start_training(tmp_path)
    second.join()
    assert second.exitcode == 0
    finished = client.search_runs(ids, "attributes.status = 'FINISHED'")
    written = json.loads((tmp_path / "experiments" / "tiny" / "metrics.json").read_text(encoding="utf-8"))
    assert [run.info.run_id for run in finished] == [written["run_id"]]


def test_an_average_of_seeds_that_is_killed_at_many_points_ends_as_if_undisturbed(
    start_training: Start, empty_store: Path, tmp_path: Path
) -> None:
    places = {  # in the mean, while the result is moved to its place, and in the store
        "src.encoder.averaging:AveragedModel.__init__": 1,
        "src.utils.staging:_move": 3,
        "src.tracking.writer:register_model": 1,
    }
    kills = {"killed": [[(*place, signal.SIGKILL)] for place in places.items()], "whole": []}
    given = ("trainer.seeds=[1,2]", "trainer.seeds_result=average", "trainer.max_steps=3")
    found = []
    for name, signals in kills.items():
        (tmp_path / name).mkdir()
        prepare(tmp_path / name, empty_store)
        for signalled in [*signals, []]:
            process = start_training(tmp_path / name, *given, signals=signalled)
            process.join()
            assert process.exitcode == (-signal.SIGKILL if signalled else 0), signalled
        result = tmp_path / name / "experiments" / "tiny"
        files = ("curve.csv", "model/model.safetensors", "plots/predictions.csv")
        written = json.loads((result / "metrics.json").read_text(encoding="utf-8"))
        values = [
            written[f"spearman_cosine{end}"] for end in ("", "_low", "_gain", "_mean_low", "_gain_over_seeds_low")
        ]
        found.append([*((result / file).read_bytes() for file in files), values, written["model_version"]])
        client = MlflowClient(f"sqlite:///{tmp_path / name}/mlruns/mlflow.db")
        (version,) = client.search_model_versions("name = 'tiny'")
        assert (str(version.version), version.run_id) == (written["model_version"], written["run_id"])
    assert found[0] == found[1]


def test_a_training_with_triplets_that_is_killed_ends_as_if_undisturbed(
    start_training: Start, empty_store: Path, tmp_path: Path
) -> None:
    curves, metrics = [], []
    for name, signals in (
        ("killed", [("src.training.trainer:ExampleTrainer.compute_loss", 6, signal.SIGKILL)]),
        ("whole", []),
    ):
        folder = tmp_path / name
        folder.mkdir()
        prepare(folder, empty_store)
        write_triplets(folder / "triplets.jsonl")
        data = ("data.train=triplets.jsonl", "data.dev=triplets.jsonl", "trainer.keep=best")
        for signalled in [signals, []] if signals else [[]]:
            process = start_training(folder, *data, signals=signalled)
            process.join()
            assert process.exitcode == (-signal.SIGKILL if signalled else 0)
        result = folder / "experiments" / "tiny"
        curves.append((result / "curve.csv").read_text(encoding="utf-8"))
        written = json.loads((result / "metrics.json").read_text(encoding="utf-8"))
        metrics.append([written[f"cosine_ndcg_at_10{end}"] for end in ("", "_low", "_gain", "_gain_low", "_before")])
    assert curves[0] == curves[1] and metrics[0] == metrics[1]
    assert curves[0].splitlines()[0].startswith("epoch,step,training_loss,validation_loss,cosine_ndcg_at_10")
