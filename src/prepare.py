"""Write the pairs of an experiment as Parquet files: python -m src.prepare +experiment=review_sts."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from src.cli import hydra_command
from src.config import Config
from src.data import digest, load_examples
from src.utils.files import exclusive_lock
from src.utils.staging import staged


def run(config: Config) -> dict[str, Any]:
    """Write data/{train,dev,test}.parquet and data/data.json into `config.folder`; return the content of data.json.

    test.parquet is written only if there is a test split. The same pairs give the same bytes.
    """
    folder = Path(config.folder)
    with exclusive_lock(folder):
        pairs = load_examples(config.data)
        splits = {"train": pairs.train, "dev": pairs.dev} | ({"test": pairs.test} if pairs.test else {})
        description: dict[str, Any] = {
            "source": pairs.source,
            "provenance": asdict(pairs.provenance),
            "warnings": list(pairs.warnings),
            "splits": {name: {"pairs": len(split), "digest": digest(split)} for name, split in splits.items()},
        }
        with staged(folder) as staging:
            data = staging / "data"
            data.mkdir()
            for name, split in splits.items():
                split.to_parquet(data / f"{name}.parquet")
            text = json.dumps(description, indent=2, ensure_ascii=False)
            (data / "data.json").write_text(f"{text}\n", encoding="utf-8")
    return description


if __name__ == "__main__":
    hydra_command(run)()
