"""Checks of a model folder before anything in it is loaded: the library's own modules, safetensors, no code, a digest.

A folder is input like any other file: its settings name classes, folders and functions, which decide what is run.
"""

import hashlib
import inspect
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sentence_transformers.base.modules import Module, Router, Transformer
from sentence_transformers.util import import_from_string
from transformers import CONFIG_MAPPING

from src.utils.errors import UserError, shorten
from src.utils.files import file_digest

LIBRARY = "sentence_transformers."
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
NESTED_ROUTERS = 4
"""Largest depth of routers in routers; a link can make it endless."""
MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
"""Files that decide what a model computes."""
CLASS_KEYS = {"activation_function": "torch.nn.", "tokenizer_class": LIBRARY}
"""Keys of a module's settings whose value is the dotted name of a class, and the package it must be from."""
CONVERT = (
    'python -c "import glob, torch, safetensors.torch as s; '
    "files = sorted(glob.glob('pytorch_model*.bin')); "
    "w = [torch.load(f, 'cpu', weights_only=True) for f in files]; "
    "s.save_file({k: v.clone().contiguous() for d in w for k, v in d.items()}, 'model.safetensors', {'format': 'pt'})\""
)
"""Command that converts pickled weights to safetensors."""


@dataclass(frozen=True)
class ModuleFolder:
    """A module of sentence-transformers and its folder."""

    kind: type[Module]
    path: Path


def check_folder(folder: Path) -> None:
    """Raise `UserError` unless the folder has a complete model that loads without a pickle and without foreign code."""
    for module in modules_of(folder):
        _check_settings(module)
        _check_weights(module)


def modules_of(folder: Path) -> list[ModuleFolder]:
    """Return the modules in a model folder, those of routers included; a transformers model is a single module.

    Raises `UserError` if one is not a class of sentence-transformers, or its folder lies outside `folder`.
    """
    listed = folder / "modules.json"
    if not listed.is_file():
        return [ModuleFolder(Transformer, folder)]
    try:
        named = [(str(entry["type"]), str(entry["path"])) for entry in json.loads(listed.read_text("utf-8"))]
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise UserError(
            f"{listed}: expected a list of modules, each with type and path, found none: use a complete model folder."
        ) from error
    return [module for name, path in named for module in _modules_below(name, folder / path, folder, listed)]


@lru_cache(maxsize=16)
def _digest(files: tuple[tuple[Path, str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, name, *_ in files:
        digest.update(f"{name} {file_digest(path)}\n".encode())
    return digest.hexdigest()[:16]


def folder_digest(folder: Path) -> str:
    """Return a digest of the files that decide what the model in a folder computes, 16 hexadecimal digits.

    They are read once in a process, unless their sizes or times change.
    """
    paths = sorted(path for pattern in MODEL_FILES for path in folder.rglob(pattern) if path.is_file())
    stats = ((path, path.stat()) for path in paths)
    return _digest(
        tuple((path, path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns) for path, stat in stats)
    )


def _modules_below(name: str, path: Path, root: Path, listed: Path, depth: int = 0) -> Iterator[ModuleFolder]:
    """Yield the module and, of a router, the modules in it."""
    if "\0" in str(path) or not path.resolve().is_relative_to(root.resolve()) or depth > NESTED_ROUTERS:
        raise UserError(
            f"{listed}: expected modules inside {root}, found one in {shorten(path)!r}: use a complete model folder."
        )
    module = ModuleFolder(_library_class(name, listed), path)
    yield module
    if issubclass(module.kind, Router):
        names = (module.kind.config_file_name, "config.json")
        settings = next((path / each for each in names if (path / each).is_file()), path / names[0])
        for inner, kind in dict(_read_json(settings).get("types") or {}).items():
            yield from _modules_below(str(kind), path / inner, root, settings, depth + 1)


def _library_class(name: str, listed: Path) -> type[Module]:
    """Return the module class of sentence-transformers with this dotted name."""
    try:
        found = import_from_string(name) if name.startswith(LIBRARY) else None
    except ImportError:
        found = None
    if isinstance(found, type) and issubclass(found, Module) and found.__module__.startswith(LIBRARY):
        return found
    raise UserError(
        f"{listed}: expected modules of sentence-transformers only, found {shorten(name)!r}, which is none and is not"
        " run: choose another model."
    )


def _check_settings(module: ModuleFolder) -> None:
    """Raise `UserError` if a setting of the module requires code of its own, or names a file elsewhere."""
    for file in sorted(module.path.glob("*.json")):
        if file.name in TOKENIZERS:  # large, and without settings of the module
            continue
        settings = _read_json(file)
        for key, package in {} if issubclass(module.kind, Transformer) else CLASS_KEYS.items():
            value = str(settings.get(key) or "")
            if "." in value and not value.startswith(package):
                raise UserError(
                    f"{file}: {key} must be a class in {package.rstrip('.')}, found {shorten(value)!r}, which is not"
                    " run: choose another model."
                )
        if foreign := _foreign(settings):
            raise UserError(
                f"{file}: expected settings that name nothing outside the folder, found {shorten(foreign)!r}: choose"
                " another model."
            )
        if (
            file.name == "config.json"
            and "auto_map" in settings
            and str(settings.get("model_type")) not in CONFIG_MAPPING
        ):
            raise UserError(
                f"{file}: expected a model of the library transformers, found auto_map, which requires Python code of"
                " the model's own, and that is not run: choose another model."
            )


def _foreign(settings: dict[str, Any]) -> str | None:
    """Return a value that makes sentence-transformers load a tokenizer, kernel or adapter from elsewhere."""
    nested = [
        value for key, value in settings.items() if key.endswith(("_args", "_kwargs")) and isinstance(value, dict)
    ]
    values = [value for each in nested for value in each.values() if isinstance(value, str)]
    elsewhere = next((value for value in values if "/" in value or "\\" in value), None)
    return settings.get("tokenizer_name_or_path") or elsewhere


def _check_weights(module: ModuleFolder) -> None:
    """Raise `UserError` if the module has pickled weights only, or lacks a file."""
    path, complete = module.path, "set model.path to a folder with a complete model."
    is_transformer = issubclass(module.kind, Transformer)
    if is_transformer and (path / "adapter_config.json").is_file():
        raise UserError(
            f"expected the weights of a whole model in {path}, found an adapter to another one: merge it with peft"
            " (`merge_and_unload`), save the merged model and set model.path to its folder."
        )
    if is_transformer and not (path / "config.json").is_file():
        raise UserError(f"expected config.json in {path}, found none: {complete}")
    # the other modules read no other name, and would take a pickle if it is missing
    if not any(path.glob("model*.safetensors" if is_transformer else "model.safetensors")):
        if any(file for pattern in PICKLES for file in path.glob(pattern)):
            convert = f"cd {shlex.quote(str(path))} && {CONVERT}"
            raise UserError(
                f"expected weights as safetensors in {path}, found only a pickle: convert it with `{convert}`."
            )
        if is_transformer or _reads_weights(module.kind):
            raise UserError(f"expected *.safetensors in {path}, found none: {complete}")
    tokenizers = [file.name for pattern in TOKENIZERS for file in path.glob(pattern)]
    if is_transformer and not tokenizers:
        raise UserError(
            f"expected a tokenizer in {path}, found none of {list(TOKENIZERS)}: add the model's tokenizer files."
        )
    if is_transformer and all(name.endswith(".model") for name in tokenizers) and not find_spec("sentencepiece"):
        raise UserError(
            f"expected the package sentencepiece, which reads {tokenizers[0]}, the only tokenizer in {path}, found it"
            " not installed: run `pip install sentencepiece`."
        )


def _reads_weights(kind: type[Module]) -> bool:
    return "load_torch_weights" in inspect.unwrap(kind.load).__code__.co_names


def _read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, empty if it is damaged or no object: the library reports that on loading."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
