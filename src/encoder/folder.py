"""What makes a folder a model that can be loaded, and its weights those of that model."""

import json
import math
import shlex
from pathlib import Path

from safetensors import safe_open
from sentence_transformers import SentenceTransformer
from torch.nn.utils import get_total_norm

PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
CONVERT = (
    'python -c "import torch, safetensors.torch as s; '
    "w = torch.load('pytorch_model.bin', 'cpu', weights_only=True); "
    "s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors', {'format': 'pt'})\""
)


def folder_problem(folder: Path) -> str | None:
    """Return in one sentence why the folder holds no loadable model, or None if it looks loadable."""
    inner = folder / first_module(folder)
    if not (inner / "config.json").is_file():
        return f"expected config.json in {inner}, found none: set model.path to a folder with a whole model."
    if not any(inner.glob("*.safetensors")):
        if any(path for pattern in PICKLES for path in inner.glob(pattern)):
            convert = f"cd {shlex.quote(str(inner))} && {CONVERT}"
            return f"expected weights as safetensors in {inner}, found only a pickle: convert it with `{convert}`."
        return f"expected *.safetensors in {inner}, found none: set model.path to a folder with a whole model."
    if not any(path for pattern in TOKENIZERS for path in inner.glob(pattern)):
        return f"expected a tokenizer in {inner}, found none of {list(TOKENIZERS)}: add the model's tokenizer files."
    return None


def weights_problem(encoder: SentenceTransformer, folder: Path) -> str | None:
    """Return in one sentence why the weights are not those of the model, or None if they are.

    transformers only warns of weights that the file lacks, and draws them at random.
    """
    weights = {name: weight for name, weight in encoder[0].model.named_parameters() if "pooler" not in name}
    given: set[str] = set()
    for file in (folder / first_module(folder)).glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            given |= set(opened.keys())
    missing = [name for name in weights if not any(name.endswith(key) or key.endswith(name) for key in given)]
    # some are named otherwise in older files
    if len(missing) > len(weights) / 2:
        return (
            f"expected the weights of the model that config.json in {folder} describes, found {len(missing)} of"
            f" {len(weights)} missing, such as {missing[0]}: set model.path to a folder with a whole model."
        )
    if not get_total_norm(weights.values(), math.inf).isfinite():
        return f"expected finite weights in {folder}, found some that are no numbers: choose another model."
    return None


def first_module(folder: Path) -> str:
    """Return the subfolder that a sentence-transformers model keeps its transformer in; empty: the folder itself."""
    try:
        return str(json.loads((folder / "modules.json").read_text("utf-8"))[0]["path"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
