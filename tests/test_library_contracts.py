"""Private parts of libraries that the project builds on: these tests fail first when an upgrade changes one."""

import inspect
from pathlib import Path

import optuna
import torch
from accelerate import Accelerator
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler
from sentence_transformers.base.trainer import BaseTrainer
from transformers import EarlyStoppingCallback, Trainer


def test_optuna_trials_have_an_id_that_the_storage_takes(tmp_path: Path) -> None:
    storage = RDBStorage(f"sqlite:///{tmp_path}/study.db", heartbeat_interval=60, grace_period=180)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    frozen = study.get_trials()[0]
    assert frozen._trial_id == trial._trial_id
    assert storage.get_trial(frozen._trial_id).number == 0
    assert storage._get_stale_trial_ids(study._study_id) == []


def test_optuna_distributions_tell_which_values_they_contain() -> None:
    assert FloatDistribution(0, 1)._contains(0.5) and not FloatDistribution(0, 1)._contains(2)
    assert IntDistribution(1, 3)._contains(2) and not IntDistribution(1, 3)._contains(4)


def test_the_transformers_trainer_calls_the_method_for_checkpoints_that_ours_overrides() -> None:
    assert list(inspect.signature(Trainer._save_checkpoint).parameters) == ["self", "model", "trial"]
    functions = [function for _, function in inspect.getmembers(Trainer, inspect.isfunction)]
    assert any("self._save_checkpoint(" in inspect.getsource(function) for function in functions)
    assert "_save_checkpoint" not in vars(SentenceTransformerTrainer)


def test_the_trainer_of_sentence_transformers_builds_the_data_loader_that_ours_replaces() -> None:
    parameters = ["self", "dataset", "batch_size", "dataset_kind"]
    assert list(inspect.signature(BaseTrainer._build_dataloader).parameters) == parameters
    train, build = (
        inspect.getsource(getattr(BaseTrainer, name)) for name in ("get_train_dataloader", "_build_dataloader")
    )
    assert "self._build_dataloader(self.train_dataset" in train and 'dataset_kind="train"' in train
    assert "self.get_batch_sampler(" in build


def test_the_transformers_trainer_runs_epochs_one_by_one_and_restores_early_stopping() -> None:
    assert "self._run_epoch(" in inspect.getsource(Trainer._inner_training_loop)
    assert set(EarlyStoppingCallback(2).state()["attributes"]) == {"early_stopping_patience_counter"}


def test_duplicates_are_found_without_the_columns_of_the_data_set() -> None:
    class Rows(list):  # type: ignore[type-arg]
        column_names = ()

    rows = Rows([{0: 1, 1: 2}, {0: 2, 1: 3}, {0: 4, 1: 5}])
    batches = list(NoDuplicatesBatchSampler(rows, 2, drop_last=False, generator=torch.Generator(), seed=0))
    assert sorted(row for batch in batches for row in batch) == [0, 1, 2]
    assert not any({0, 1} <= set(batch) for batch in batches)


def test_a_sentence_transformer_knows_its_first_position_and_its_attention(tiny_encoder_folder: Path) -> None:
    encoder = SentenceTransformer(str(tiny_encoder_folder), device="cpu")
    assert encoder[0]._infer_flatten_position_offset() == 0
    assert encoder[0].model.config._attn_implementation in ("sdpa", "eager")


def test_accelerate_marks_a_prepared_model(tiny_encoder_folder: Path) -> None:
    model = torch.nn.Linear(2, 2)
    prepared = Accelerator(cpu=True).prepare(model)
    assert vars(prepared)["_is_accelerate_prepared"] is True
