"""A model folder is checked before anything in it is loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from src.config.model import HubEncoder
from src.encoder.folder import check_folder, folder_digest, modules_of
from src.encoder.hub import load_hub
from src.utils.errors import UserError

DENSE = "sentence_transformers.models.Dense"
ROUTER = "sentence_transformers.models.Asym"
WEIGHTS = {"linear.weight": torch.eye(32), "linear.bias": torch.zeros(32)}
IDENTITY = "torch.nn.modules.linear.Identity"


@pytest.fixture
def folder(tiny_encoder_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder_folder, tmp_path / "my-model"))


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def add_module(folder: Path, kind: str, path: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    write_json(folder / "modules.json", [*modules, {"idx": 2, "name": "2", "path": path, "type": kind}])


def write_dense(path: Path, pickled: bool = False, activation: str = IDENTITY) -> None:
    write_json(path / "config.json", {"in_features": 32, "out_features": 32, "activation_function": activation})
    if pickled:
        torch.save(WEIGHTS, path / "pytorch_model.bin")
    else:
        save_file(WEIGHTS, path / "model.safetensors")


def pickled_module(folder: Path) -> None:
    add_module(folder, DENSE, "2_Dense")
    write_dense(folder / "2_Dense", pickled=True)


def decoy_beside_a_pickle(folder: Path) -> None:
    pickled_module(folder)
    save_file(WEIGHTS, folder / "2_Dense" / "other.safetensors")


def pickle_in_a_router(folder: Path) -> None:
    add_module(folder, ROUTER, "2_Asym")
    write_json(folder / "2_Asym" / "config.json", {"types": {"a": DENSE}, "structure": {"a": ["a"]}, "parameters": {}})
    write_dense(folder / "2_Asym" / "a", pickled=True)


def module_without_weights(folder: Path) -> None:
    add_module(folder, DENSE, "2_Dense")
    write_json(folder / "2_Dense" / "config.json", {"in_features": 32, "out_features": 32})


def module_above_the_folder(folder: Path) -> None:
    write_dense(folder.parent / "elsewhere")
    add_module(folder, DENSE, "../elsewhere")


def module_at_an_absolute_path(folder: Path) -> None:
    write_dense(folder.parent / "elsewhere")
    add_module(folder, DENSE, str(folder.parent / "elsewhere"))


def module_behind_a_link(folder: Path) -> None:
    write_dense(folder.parent / "elsewhere")
    (folder / "2_Dense").symlink_to(folder.parent / "elsewhere")
    add_module(folder, DENSE, "2_Dense")


def router_in_itself(folder: Path) -> None:
    add_module(folder, ROUTER, "2_Asym")
    write_json(folder / "2_Asym" / "config.json", {"types": {".": ROUTER}, "structure": {}, "parameters": {}})


def function_as_a_module(folder: Path) -> None:
    add_module(folder, "os.system", "1_Pooling")


def class_of_the_folder(folder: Path) -> None:
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    add_module(folder, "own.Module", "1_Pooling")


def library_function_as_a_module(folder: Path) -> None:
    add_module(folder, "sentence_transformers.util.import_from_string", "1_Pooling")


def foreign_class_in_a_router(folder: Path) -> None:
    add_module(folder, ROUTER, "2_Asym")
    write_json(folder / "2_Asym" / "config.json", {"types": {"a": "own.Module"}, "structure": {}, "parameters": {}})


def activation_that_is_no_layer(folder: Path) -> None:
    add_module(folder, DENSE, "2_Dense")
    write_dense(folder / "2_Dense", activation="torch.utils.data.DataLoader")


def configuration_with_code(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", settings | {"model_type": "own", "auto_map": {"AutoModel": "own.Model"}})


def tokenizer_elsewhere(folder: Path) -> None:
    write_json(folder / "sentence_bert_config.json", {"tokenizer_name_or_path": "someone/other"})


def kernel_from_the_hub(folder: Path) -> None:
    write_json(folder / "sentence_bert_config.json", {"model_args": {"attn_implementation": "someone/kernel"}})


def adapter(folder: Path) -> None:
    write_json(folder / "adapter_config.json", {"base_model_name_or_path": "someone/other"})


def no_list_of_modules(folder: Path) -> None:
    write_json(folder / "modules.json", {"type": DENSE})


REFUSED: dict[Callable[[Path], None], str] = {
    pickled_module: r"2_Dense, found only a pickle: convert it with `cd",
    decoy_beside_a_pickle: r"2_Dense, found only a pickle",
    pickle_in_a_router: r"2_Asym/a, found only a pickle",
    module_without_weights: r"\*\.safetensors in .*2_Dense, found none",
    module_above_the_folder: "expected modules inside",
    module_at_an_absolute_path: "expected modules inside",
    module_behind_a_link: "expected modules inside",
    router_in_itself: "expected modules inside",
    function_as_a_module: r"found 'os\.system', which is none and is not run",
    class_of_the_folder: r"found 'own\.Module'",
    library_function_as_a_module: "import_from_string",
    foreign_class_in_a_router: r"found 'own\.Module'",
    activation_that_is_no_layer: r"must be a class in torch\.nn, found 'torch\.utils\.data\.DataLoader'",
    configuration_with_code: "requires Python code",
    tokenizer_elsewhere: "found 'someone/other'",
    kernel_from_the_hub: "found 'someone/kernel'",
    adapter: "found an adapter",
    no_list_of_modules: "expected a list of modules",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_a_folder_that_loads_more_than_the_librarys_modules_is_refused(
    change: Callable[[Path], None], folder: Path
) -> None:
    change(folder)
    with pytest.raises(UserError, match=REFUSED[change]):
        load_hub(HubEncoder(path=str(folder)))
    assert not (folder / "ran").exists()


def test_a_further_module_with_safetensors_loads_and_a_pickle_beside_them_is_ignored(folder: Path) -> None:
    add_module(folder, DENSE, "2_Dense")
    write_dense(folder / "2_Dense")
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert load_hub(HubEncoder(path=str(folder))).encode("방").shape == (32,)


def test_code_beside_an_architecture_of_transformers_is_not_needed_and_not_run(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", settings | {"auto_map": {"AutoModel": "own.Model", "AutoConfig": "own.Config"}})
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    assert load_hub(HubEncoder(path=str(folder))).encode("방").shape == (32,)
    assert not (folder / "ran").exists()


def test_a_folder_without_modules_is_a_single_transformer(folder: Path) -> None:
    (folder / "modules.json").unlink()
    check_folder(folder)
    assert [module.path for module in modules_of(folder)] == [folder]


def test_the_digest_changes_with_weights_and_settings_only(folder: Path) -> None:
    before = folder_digest(folder)
    (folder / "README.md").write_text("# Mine")
    (folder / "pytorch_model.bin").write_bytes(b"ignored")
    assert folder_digest(folder) == before
    assert len(before) == 16
    save_file(WEIGHTS, folder / "model.safetensors")
    changed = folder_digest(folder)
    write_json(folder / "1_Pooling" / "config.json", {})
    assert len({before, changed, folder_digest(folder)}) == 3
