"""Saved views of an experiment: new ones, those of earlier versions, a user's own, and those of sweeps."""

import json
from typing import Any

from mlflow import MlflowClient

from src.config import Config
from src.evaluation.metrics import NDCG, SPEARMAN
from src.tracking import list_experiments, start_run
from src.tracking.queue import FINAL_SECONDS
from src.tracking.tags import SHAPE
from src.tracking.views import KIND, TAG


def tags_of(config: Config) -> dict[str, str]:
    return dict(MlflowClient(config.tracking.uri).get_experiment_by_name(config.name).tags)


def state_of(tags: dict[str, str], key: str) -> dict[str, Any]:
    return dict(json.loads(json.loads(tags[f"{TAG}{key}"])["state"]))


def test_an_experiment_has_views_of_runs_by_score_and_of_seeds_by_recipe(config: Config) -> None:
    with start_run(config, {}):
        tags = tags_of(config)
    for key in ("scores", "recipes"):
        state = state_of(tags, key)
        assert (state["orderByKey"], state["orderByAsc"]) == (f"metrics.`{SPEARMAN}`", False)
        assert f"metrics.`{SPEARMAN}_low`" in state["selectedColumns"]
    assert state["groupBy"] == {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "tag", "groupByData": "recipe"}],
    }
    assert all(len(value) < 5000 for value in tags.values())  # MLflow's limit


def test_an_older_experiment_gets_the_views_and_keeps_those_of_its_user(config: Config) -> None:
    client = MlflowClient(config.tracking.uri)
    old = {f"{TAG}scores": "{", f"{TAG}mine": "my own", KIND: "finetuning"}
    experiment_id = client.create_experiment(config.name, tags=old)
    client.create_experiment("of someone else")
    assert list_experiments(config.tracking.uri) == {config.name: experiment_id}
    shown = tags_of(config)
    assert {key: shown[key] for key in (f"{TAG}mine", KIND)} == {f"{TAG}mine": "my own", KIND: "finetuning"}
    assert state_of(shown, "scores") and state_of(shown, "recipes")
    with start_run(config, {}):
        assert tags_of(config) == shown  # present ones are not written again
    assert not client.get_experiment_by_name("of someone else").tags


def test_a_sweep_has_a_view_of_its_trials(config: Config) -> None:
    with start_run(config, {"role": "sweep"}) as run:
        assert state_of(tags_of(config), run.run_id)["searchFilter"] == f"tags.`mlflow.parentRunId` = '{run.run_id}'"
        assert run.pages(run.run_id)["runs"].endswith(f"viewStateShareKey={run.run_id}")


def test_the_views_show_the_metrics_of_the_latest_run_whose_shape_is_known(config: Config) -> None:
    def leading() -> tuple[str, str]:
        state = state_of(tags_of(config), "scores")
        return state["selectedColumns"][2], state["orderByKey"]

    with start_run(config, {}) as run:
        run.set_tags({SHAPE: "triplets"})
        run.queue.flush(FINAL_SECONDS)
        tags = tags_of(config)
        assert leading() == (f"metrics.`{NDCG}`", f"metrics.`{NDCG}`")
        assert "metrics.`cosine_accuracy`" in state_of(tags, "recipes")["selectedColumns"]
        assert SPEARMAN not in tags[f"{TAG}scores"] and all(len(value) < 5000 for value in tags.values())
    with start_run(config, {"role": "sweep", SHAPE: "triplets"}) as run:
        assert tags_of(config) | {f"{TAG}{run.run_id}": ""} == tags | {f"{TAG}{run.run_id}": ""}
        assert state_of(tags_of(config), run.run_id)["orderByKey"] == f"metrics.`{NDCG}`"
    list_experiments(config.tracking.uri)
    assert leading()[0] == f"metrics.`{NDCG}`"
    with start_run(config, {SHAPE: "scored"}):
        assert leading()[0] == f"metrics.`{SPEARMAN}`"
