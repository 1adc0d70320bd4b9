"""Write the examples of an experiment as Parquet files: python -m src.prepare +experiment=review_sts."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from src.cli import hydra_command
from src.config import Config
from src.data import ExampleSet, digest, load_examples
from src.utils.files import exclusive_lock
from src.utils.staging import staged


def run(config: Config) -> dict[str, Any]:
    """Write data/{train,dev,test}.parquet and data/data.json into `config.folder`; return the content of data.json.

    The files of a mixture are in data/SET/. test.parquet is written only if there is a test split. The same examples
    give the same bytes.
    """
    folder = Path(config.folder)
    with exclusive_lock(folder):
        examples = load_examples(config.data)
        sets = {f"{name}/" if examples.others else "": each for name, each in examples.sets.items()}
        splits = {f"{prefix}{name}": split for prefix, each in sets.items() for name, split in each.splits.items()}
        description: dict[str, Any] = {
            **_origin(examples),
            "warnings": list(examples.warnings),
            "splits": {name: {"pairs": len(split), "digest": digest(split)} for name, split in splits.items()},
        }
        if examples.others:
            description["others"] = {other.name: _origin(other) for other in examples.others}
        with staged(folder) as staging:
            for name, split in splits.items():
                path = staging / "data" / f"{name}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                split.to_parquet(path)
            text = json.dumps(description, indent=2, ensure_ascii=False)
            (staging / "data" / "data.json").write_text(f"{text}\n", encoding="utf-8")
    return description


def _origin(examples: ExampleSet) -> dict[str, Any]:
    return {"source": examples.source, "provenance": asdict(examples.provenance)}


if __name__ == "__main__":
    hydra_command(run)()
