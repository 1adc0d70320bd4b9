"""An export folder: its graph, tokenizer.json, README.md, and export.json, which only this module reads and writes."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, Self

from tokenizers import Tokenizer

from src.config.export import FORMATS, PRECISIONS
from src.prediction.encoder import EXPORT_INFO
from src.utils.errors import UserError, shorten
from src.utils.files import file_digests

INFO, TOKENIZER, README = EXPORT_INFO, "tokenizer.json", "README.md"
GRAPHS = {"onnx": ("model.onnx",), "openvino": ("model.xml", "model.bin")}
"""Files of the graph in each format, the one to open first."""
RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}
"""Package that runs each format; the extra of this name or of the format installs it."""
TEMPLATE = Path(__file__).with_name("readme_template.md")


class Usage(NamedTuple):
    """Lines of Python for README.md."""

    module: str
    opening: str
    call: str


USAGE = {
    "onnx": Usage(
        "import onnxruntime",
        'graph = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])',
        "graph.run(None, inputs)[0]",
    ),
    "openvino": Usage(
        "import openvino", 'graph = openvino.compile_model("model.xml", "CPU"$options)', "graph(inputs)[0]"
    ),
}


def require_packages(names: Iterable[str], extra: str) -> None:
    """Raise `UserError` naming the extra unless all packages are installed; imports none of them."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UserError(
            f"format={extra}: expected the package {missing[0]}, found it not installed: run `pip install --editable"
            f" '.[{extra}]'`, or `pip install {missing[0]}` where a model is only served."
        )


@dataclass(frozen=True)
class ExportInfo:
    """What an export folder contains, and how it was compared with the model in torch."""

    format: str
    precision: str
    dimensions: int
    max_length: int | None
    """Tokens at which texts are cut; None: they are not."""
    prompts: dict[str, str]
    default_prompt_name: str | None
    column_prompts: dict[str, str]
    """Name of the prompt of each column that has one of its own."""
    model: str
    """Address of the exported model."""
    digest: str
    """Digest of its files, empty if it was in no folder."""
    files: dict[str, str]
    """SHA-256 digests of graph and tokenizer by name."""
    proof: dict[str, Any]
    """Fields of `Proof`."""

    @property
    def name(self) -> str:
        """Format and precision: `onnx-int8`."""
        return f"{self.format}-{self.precision}"

    def save(self, folder: Path) -> None:
        """Write export.json."""
        (folder / INFO).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the content of export.json in a complete folder.

        Raises `UserError` if a value is unusable, a file differs from its digest, or the runtime is not installed.
        """
        info = cls.read(folder)
        require_packages([RUNTIMES[info.format]], info.format)
        expected = {*GRAPHS[info.format], TOKENIZER}
        found = {name: one for name, one in file_digests(folder).items() if name in expected}
        if found != info.files:
            damaged = next(name for name in sorted(expected) if found.get(name) != info.files.get(name))
            raise UserError(
                f"{folder / damaged}: expected the file that {INFO} describes, found"
                f" {'another' if damaged in found else 'none'}: export the model again."
            )
        return info

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the content of export.json; raise `UserError` if a value is missing or unusable."""
        path = folder / INFO
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            info = cls(**{each.name: values[each.name] for each in fields(cls)})
            problem = info._problem()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problem = shorten(repr(error))
        if problem:
            raise UserError(f"{path}: expected the description of an export, found {problem}: export the model again.")
        return info

    def _problem(self) -> str:
        """Return what is wrong, empty if nothing is."""
        texts = (*self.prompts.items(), *self.column_prompts.items(), *self.files.items())
        known = {None, *self.prompts}
        checks = {
            "format": self.format in FORMATS,
            "precision": self.precision in PRECISIONS,
            "dimensions": type(self.dimensions) is int and self.dimensions > 0,
            "max_length": self.max_length is None or (type(self.max_length) is int and self.max_length > 0),
            "prompts": all(isinstance(text, str) for item in texts for text in item),
            "default_prompt_name": self.default_prompt_name in known,
            "column_prompts": set(self.column_prompts.values()) <= known,
            "model": isinstance(self.model, str) and isinstance(self.digest, str),
            "proof": isinstance(self.proof, dict),
        }
        return next(
            (f"{name} {shorten(repr(getattr(self, name)), 60)}" for name, good in checks.items() if not good), ""
        )


def save_tokenizer(tokenizer: Any, longest: int | None, path: Path) -> None:
    """Write a tokenizer of transformers as the package tokenizers reads it, with its own cutting and padding."""
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_truncation()
    if longest is not None:
        plain.enable_truncation(longest, direction=tokenizer.truncation_side)
    plain.enable_padding(
        direction=tokenizer.padding_side,
        pad_id=tokenizer.pad_token_id,
        pad_token=tokenizer.pad_token,
        pad_type_id=tokenizer.pad_token_type_id,
    )
    plain.save(str(path))


def write_readme(folder: Path, info: ExportInfo, summary: str) -> None:
    """Write README.md with the Python that uses the folder; `summary`: what was measured, in a sentence."""
    usage = USAGE[info.format]
    exact = ', {"INFERENCE_PRECISION_HINT": "f32"}' if info.precision == "fp32" else ""
    used = {name: text for name, text in info.prompts.items() if text}
    default = f"By default: {info.default_prompt_name}." if info.default_prompt_name else "By default: none."
    prompts = ", ".join(f"`{json.dumps(text, ensure_ascii=False)}` ({name})" for name, text in used.items())
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=info.name,
        module=usage.module,
        opening=usage.opening.replace("$options", exact),
        call=usage.call,
        runtime=RUNTIMES[info.format],
        dimensions=info.dimensions,
        length="any length" if info.max_length is None else f"up to {info.max_length} tokens",
        prompts=f"The model has prompts, to put before a text: {prompts}. {default}"
        if used
        else "The model has no prompts.",
        summary=summary,
    )
    (folder / README).write_text(text, encoding="utf-8")
