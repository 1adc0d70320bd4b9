"""The Python in the README.md of an export, in an environment that has only a runtime, tokenizers and numpy."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.config.data import PairFiles
from src.config.export import ExportConfig, ExportOptions
from src.config.model import HubEncoder
from src.encoder import load_encoder
from src.exporting import export_model
from src.exporting.folder import README, RUNTIMES
from tests.conftest import write_pairs
from tests.exporting.conftest import DIFFICULT

pytest.importorskip("onnx", reason="the extra onnx is not installed")

pytestmark = pytest.mark.export

TEXTS = (DIFFICULT + [f"{number}번째 방은 {'아주 ' * (number % 40)}조용해요 🛏️" for number in range(1000)])[:1000]
USE = """
import json, sys
texts = json.load(open(sys.argv[1], encoding="utf-8"))
np.save(sys.argv[2], np.concatenate([embed(texts[at : at + 32], sys.argv[3]) for at in range(0, len(texts), 32)]))
heavy = {"torch", "transformers", "sentence_transformers", "onnx", "mlflow"} & set(sys.modules)
assert not heavy, heavy
"""


def code_of(folder: Path) -> str:
    """Return the Python in README.md."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / README).read_text("utf-8"), re.DOTALL)
    return str(code)


@pytest.fixture(scope="module", params=RUNTIMES)
def export(
    request: pytest.FixtureRequest, make_encoder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An export of a tiny encoder in fp32."""
    pytest.importorskip(RUNTIMES[request.param], reason=f"the extra {request.param} is not installed")
    scratch = tmp_path_factory.mktemp("readme")
    data = PairFiles(train="", dev=str(write_pairs(scratch / "pairs.csv")))
    settings = {"model": str(make_encoder("bert")), "output": str(scratch / "served"), "format": request.param}
    return export_model(ExportConfig(data=data, export=ExportOptions(tolerance=1), threads=1, **settings))


def run_code(python: str, folder: Path, scratch: Path) -> np.ndarray:
    """Return the embeddings of `TEXTS` that the Python in README.md computes with an interpreter."""
    import json

    script, texts, found = scratch / "use.py", scratch / "texts.json", scratch / "found.npy"
    script.write_text(code_of(folder) + USE, encoding="utf-8")
    texts.write_text(json.dumps(TEXTS), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    line = [python, "-I", str(script), str(texts), str(found), "query: "]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(found)


def check(found: np.ndarray, model: Path) -> None:
    """Check embeddings against those of torch."""
    expected = load_encoder(HubEncoder(path=str(model))).encode(TEXTS, prompt="query: ")
    cosines = (found * expected).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert len(cosines) == 1000
    assert cosines.min() > 0.9999


def test_the_code_embeds_1000_sentences_as_torch_does(
    export: Path, make_encoder: Callable[[str], Path], tmp_path: Path
) -> None:
    check(run_code(sys.executable, export, tmp_path), make_encoder("bert"))


@pytest.mark.slow
def test_the_code_runs_in_an_environment_with_three_packages_only(
    export: Path, make_encoder: Callable[[str], Path], tmp_path: Path
) -> None:
    runtime = RUNTIMES["onnx" if (export / "model.onnx").is_file() else "openvino"]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    packages = [runtime, "tokenizers", "numpy"]
    # tokenizers names huggingface-hub, which it needs only to download a tokenizer
    constraints = Path(__file__).parents[2] / "constraints.txt"
    line = [python, "-m", "pip", "install", "--quiet", "--constraint", str(constraints), *packages]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no package index to install {packages} from: {done.stderr.strip()[-200:]}")
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"^(torch|transformers|sentence-transformers|onnx) ", listed, re.MULTILINE), listed
    check(run_code(python, export, tmp_path), make_encoder("bert"))
