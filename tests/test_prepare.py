"""The command that writes the pairs of an experiment as Parquet files."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from src.cli import CONF
from src.config import Config
from src.config.data import Mixture
from src.data import digest, load_examples
from src.prepare import run

PROBE = """
import runpy, sys
sys.argv = ["src.prepare", *sys.argv[1:]]
runpy.run_module("src.prepare", run_name="__main__", alter_sys=True)
print([name for name in ("torch", "transformers", "sentence_transformers", "mlflow") if name in sys.modules])
"""


def test_all_splits_are_written_with_their_description(compose: Callable[..., Config]) -> None:
    config = compose("+experiment=project_match", "data.train_pairs=30", "data.test_pairs=20")
    description = run(config)
    data = Path(config.folder) / "data"
    assert json.loads((data / "data.json").read_text("utf-8")) == description
    assert sorted(path.name for path in data.iterdir()) == ["data.json", "dev.parquet", "test.parquet", "train.parquet"]
    assert list(description) == ["source", "provenance", "warnings", "splits"]
    assert description["provenance"]["name"] == "project_match"
    pairs = load_examples(config.data)
    assert description["splits"]["train"] == {"pairs": 30, "digest": digest(pairs.train)}
    assert pd.read_parquet(data / "test.parquet").to_dict("list") == pairs.test.to_dict()


def test_without_a_test_split_there_is_no_test_file(tiny_config: Callable[..., Config]) -> None:
    config = tiny_config()
    description = run(config)
    assert list(description["splits"]) == ["train", "dev"]
    assert "80 text(s) occur in both train" in description["warnings"][0]
    assert not (Path(config.folder) / "data" / "test.parquet").exists()


def test_the_sets_of_a_mixture_have_folders_of_their_own(tiny_config: Callable[..., Config]) -> None:
    config = tiny_config()
    sets = {"pairs": {"train": config.data.train}, "search": {"source": "review_search"}}
    config.data = Mixture(sets=sets)
    description = run(config)
    assert list(description["splits"]) == ["pairs/train", "pairs/dev", "search/train", "search/dev"]
    assert (description["provenance"]["name"], description["others"]["search"]["source"]) == ("pairs.csv", "sample")
    search = load_examples(config.data).others[0]
    assert description["splits"]["search/dev"] == {"pairs": len(search.dev), "digest": digest(search.dev)}
    data = Path(config.folder) / "data"
    assert pd.read_parquet(data / "search" / "dev.parquet").to_dict("list") == search.dev.to_dict()


def test_preparing_again_replaces_the_former_files(compose: Callable[..., Config]) -> None:
    former, config = compose("+experiment=project_match", "data.train_pairs=30"), compose("+experiment=review_sts")
    config.folder = former.folder
    config.data.sources = ["sample"]
    run(former)
    run(config)
    assert not (Path(config.folder) / "data" / "test.parquet").exists()
    assert len(pd.read_parquet(Path(config.folder) / "data" / "train.parquet")) == 2660


def test_neither_torch_nor_mlflow_is_imported(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent)}
    line = [sys.executable, "-c", PROBE, "+experiment=review_sts", "data.sources=[sample]"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["[]"]), done.stderr
    assert (tmp_path / "experiments" / "review_sts" / "data" / "train.parquet").is_file()
